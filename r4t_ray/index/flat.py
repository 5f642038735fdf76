"""Exhaustive search: exact, and the measure of every other index."""

from __future__ import annotations

import faiss

from r4t_ray.types import Array


def build_flat(emb_MD: Array) -> faiss.IndexFlat:
    """IndexFlatIP over unit rows."""
    index = faiss.IndexFlatIP(emb_MD.shape[1])
    index.add(emb_MD)
    return index


def flat_storage(index: faiss.IndexFlat) -> faiss.IndexFlat:
    """An IndexFlat is its own storage."""
    return index
