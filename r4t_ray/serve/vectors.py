"""The search of /v1/search: the nearest items of vectors that the caller brings."""

from __future__ import annotations

import numpy as np

from r4t_ray.errors import RequestError
from r4t_ray.retrieval.compose import items_of
from r4t_ray.retrieval.filtering.filters import check_attributes
from r4t_ray.retrieval.generation import both
from r4t_ray.retrieval.messages import SearchRequest
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.picking import Searching
from r4t_ray.retrieval.response import Item
from r4t_ray.types import Array, Search


def search_vectors(request: SearchRequest, opened: OpenTask) -> Searching[list[list[Item]]]:
    """The ``n`` nearest items of each vector, best first.

    Raises:
        RequestError: A vector of another width or of length 0, or an attribute that is not there.
    """
    attributes = opened.attributes
    if request.filter:
        check_attributes(request.filter, None, attributes.items.names if attributes else (), are_items=False)
    where = opened.alive_M
    if attributes and request.filter:
        where = both(where, attributes.passing(request.filter))
    search = Search(z_LD=unit_rows(request.vectors, opened.dim), num_hits=request.n, where=where)
    scores_LK, rows_LK = yield opened.task, search
    shown = attributes if request.with_payload else None
    return [
        items_of(opened, rows[rows >= 0], scores[rows >= 0], shown)
        for scores, rows in zip(scores_LK, rows_LK, strict=True)
    ]


def unit_rows(vectors: list[list[float]], dim: int) -> Array:
    """The vectors with length 1, shape (L, D); raises RequestError."""
    for position, vector in enumerate(vectors):
        largest = float(np.abs(np.array(vector, np.float64)).max())
        if len(vector) != dim or not 0 < largest < float("inf"):
            got = f"{len(vector)} numbers, the largest {largest:g}"
            expected = f"{dim} finite numbers that are not all 0"
            raise RequestError(f"vectors.{position}", got, expected, "GET /v1/index has the width")
    rows = np.array(vectors, np.float64)
    rows /= np.abs(rows).max(axis=1, keepdims=True)  # so that no square is too large or too small for 64 bits
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
