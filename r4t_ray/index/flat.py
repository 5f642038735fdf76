"""Exhaustive search. It is exact, so the recall of every other index type is measured against it."""

from __future__ import annotations

import faiss

from r4t_ray.types import Array, Rows


def build_flat(emb_MD: Array) -> faiss.IndexFlat:
    """An IndexFlatIP over unit rows, shape (M, D)."""
    index = faiss.IndexFlatIP(emb_MD.shape[1])
    index.add(emb_MD)
    return index


def flat_parameters(index: faiss.IndexFlat, rows: Rows, num_hits: int) -> None:
    """No parameters: a search among some rows is exhaustive."""


def flat_storage(index: faiss.IndexFlat) -> faiss.IndexFlat:
    """The index, because an IndexFlat holds its rows."""
    return index
