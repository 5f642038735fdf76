"""Exhaustive search. It is exact, and the recall of every other index is measured against it."""

from __future__ import annotations

import faiss

from r4t_ray.types import Array


def build_flat(emb_MD: Array) -> faiss.IndexFlat:
    """IndexFlatIP over unit rows."""
    index = faiss.IndexFlatIP(emb_MD.shape[1])
    index.add(emb_MD)
    return index


def flat_storage(index: faiss.IndexFlat) -> faiss.IndexFlat:
    """The index itself: an IndexFlat holds its rows."""
    return index
