"""Exhaustive search. It is exact, so the recall of every other index type is measured against it."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from r4t_ray.types import Array, Rows

typed: Any = faiss
"""FAISS, whose type stubs lack most constructors."""


def build_flat(emb_MD: Array) -> faiss.IndexFlat:
    """An IndexFlatIP over unit rows, shape (M, D)."""
    index = faiss.IndexFlatIP(emb_MD.shape[1])
    index.add(emb_MD)
    return index


def flat_parameters(index: faiss.IndexFlat, rows: Rows | None, num_hits: int) -> None:
    """No parameters: the search is exhaustive."""


def flat_storage(index: faiss.IndexFlat) -> faiss.IndexFlat:
    """The index, because an IndexFlat holds its rows."""
    return index


def flat_among(storage: faiss.IndexFlat, rows: Rows) -> faiss.SearchParameters:
    """Parameters with which an IndexFlat scores the given rows only, one by one."""
    parameters: faiss.SearchParameters = typed.SearchParameters(sel=typed.IDSelectorArray(rows))
    return parameters


def selector(rows: Rows, size: int) -> Any:
    """A selector of the given rows of ``size`` rows, which tests one bit for each row that a search meets."""
    is_allowed_M = np.zeros(size, dtype=bool)
    is_allowed_M[rows] = True
    return typed.IDSelectorBitmap(np.packbits(is_allowed_M, bitorder="little"))
