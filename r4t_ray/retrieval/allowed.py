"""The rows of a pool that a request may be answered with."""

from __future__ import annotations

import math

import numpy as np

from r4t_ray.retrieval.open_task import OpenTask, Pool
from r4t_ray.retrieval.picking import Searching
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.types import Array, Mask, Search


def allowed_rows(request: RetrieveRequest, opened: OpenTask, z_q_D: Array) -> Searching[Mask | None]:
    """The rows of the pool that pass the request's filter and ``min_relevance``. None is all rows.

    Rows that live changes replaced or deleted never pass, nor do sets that hold an item whose id is in ``avoid``.
    """
    passing_M = passing_rows(request, opened)
    if not request.min_relevance:
        return passing_M
    num_left_out = min(math.floor(opened.size * request.min_relevance / 100), opened.size - 1)
    wanted = Search(z_LD=z_q_D[None], num_hits=opened.size - num_left_out, where=opened.alive_M)
    _, rows_1K = yield opened.task, wanted
    relevant_M = np.zeros(len(opened.pool.ids), dtype=bool)
    relevant_M[rows_1K[rows_1K >= 0]] = True
    return both(passing_M, relevant_M)


def passing_rows(request: RetrieveRequest, opened: OpenTask) -> Mask | None:
    """As ``allowed_rows``, without ``min_relevance``, for which the query's vector is needed."""
    passing_M = opened.alive_M
    if request.filter is not None:
        assert opened.attributes is not None, "generation_request refuses a filter without attributes"
        passing_M = both(passing_M, opened.attributes.passing(request.filter))
    avoided = [term for term in request.avoid if any(term in pool.row_of for pool in opened.others.values())]
    if avoided and opened.attributes is not None and not opened.attributes.are_items:
        passing_M = both(passing_M, ~opened.attributes.holding(avoided))
    return passing_M


def excluded_rows(request: RetrieveRequest, pool: Pool) -> tuple[int, ...]:
    """The rows of the entries that the request avoids, or completes, by their ids."""
    return named_rows((*request.avoid, *(request.like if request.query is None else ())), pool)


def named_rows(terms: tuple[str, ...], pool: Pool) -> tuple[int, ...]:
    """The pool row of each term that is an id of the pool."""
    return tuple(pool.row_of[term] for term in terms if term in pool.row_of)


def both(left_M: Mask | None, right_M: Mask) -> Mask:
    """The rows that both masks have; None has all rows."""
    return right_M if left_M is None else left_M & right_M
