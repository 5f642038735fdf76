"""How much the answers of different queries differ, and whether each one fits its own query.

A method that gives every query the same good items scores well on measures of one answer. It fails here: each of its
answers fits every query equally well. ``fit(A, q)`` is the mean cosine between the top items of the answer A and the
query q. Answers without a top item fit every query equally badly.

No array has the size of queries x pool. The answers are compared in blocks of queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array, Rows

BLOCK = 256
"""Queries that are compared with all answers at a time. It bounds the memory for many queries."""

TIE = 1e-9
"""Fits that differ by at most this much are equal. It is above the rounding errors of float64, which depend on the
order of the items, and far below the difference of two answers with different items."""

NO_FIT = -2.0
"""Fit of an answer without a top item: below every cosine."""

Values = NDArray[np.float64]


def mean_rows(rows: Sequence[Rows], emb_MD: Array) -> Values:
    """Mean embedding of the pool rows of each answer, (B, D) float64; zeros for an answer without a row."""
    means_BD = np.zeros((len(rows), emb_MD.shape[1]))
    for mean_D, rows_k in zip(means_BD, rows, strict=True):
        if len(rows_k):
            mean_D[:] = emb_MD[rows_k].mean(axis=0, dtype=np.float64)
    return means_BD


def swap(mean_top_BD: Values, query_emb_BD: Array) -> Values:
    """For each query, the share of the other answers that fit it worse than its own answer does.

    An answer that fits it equally well counts one half. A method that answers every query alike, or by chance, has 0.5.

    Args:
        mean_top_BD: ``mean_rows`` of each answer's top items.
        query_emb_BD: Unit rows, the query of each answer.

    Returns:
        (B,) float64 in 0..1; NaN if there is no other answer.

    >>> swap(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [0.5, 0.5]
    """

    def share(fit_B: Values, own: float) -> float:
        worse = np.count_nonzero(fit_B < own - TIE)
        not_better = np.count_nonzero(fit_B <= own + TIE) - 1  # without the query's own answer
        return (worse + not_better) / 2 / (len(fit_B) - 1)

    return _of_each_query(share, mean_top_BD, query_emb_BD)


def identification(mean_top_BD: Values, query_emb_BD: Array) -> Values:
    """For each query, 1 if its own answer fits it best among all answers, else 0.

    If t answers fit it best and its own is among them, the value is 1/t. A method that answers every query alike has
    1/B.

    Args:
        mean_top_BD: ``mean_rows`` of each answer's top items.
        query_emb_BD: Unit rows, the query of each answer.

    Returns:
        (B,) float64 in 0..1; NaN if there is no other answer.

    >>> identification(np.array([[1.0, 0.0], [0.8, 0.6]]), np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 1.0]
    """

    def share(fit_B: Values, own: float) -> float:
        least = fit_B.max() - TIE
        return 1.0 / np.count_nonzero(fit_B >= least) if own >= least else 0.0

    return _of_each_query(share, mean_top_BD, query_emb_BD)


def jaccard(retrieved: Sequence[frozenset[int] | set[int]]) -> Values:
    """For each query, the mean Jaccard index of its answer with each other answer.

    The Jaccard index of two answers is the number of items in both, divided by the number of items in at least one.
    Two empty answers have index 1. A method that answers every query alike has 1.

    Args:
        retrieved: Distinct pool rows of each answer.

    Returns:
        (B,) float64 in 0..1; NaN if there is no other answer.

    >>> jaccard([{1, 2}, {2, 3}, {4}]).round(3).tolist()
    [0.167, 0.167, 0.0]
    """
    num_B = len(retrieved)
    if num_B < 2:
        return np.full(num_B, np.nan)
    # Equal answers are compared once. U is the number of different answers.
    answers = list(map(frozenset, retrieved))
    number_of = {rows: u for u, rows in enumerate(dict.fromkeys(answers))}
    of_answer_B = np.array([number_of[rows] for rows in answers])
    count_U = np.bincount(of_answer_B)
    size_U = np.array([len(rows) for rows in number_of])
    holders = _holders(number_of)
    mean_U = np.zeros(len(number_of))
    for rows, u in number_of.items():
        total = float(count_U[u])  # the index of equal answers is 1
        if rows:
            shared_U = np.bincount(np.concatenate([holders[row] for row in rows]))
            near = np.flatnonzero(shared_U)
            near = near[near != u]
            total += (count_U[near] * shared_U[near] / (size_U[u] + size_U[near] - shared_U[near])).sum()
        mean_U[u] = (total - 1.0) / (num_B - 1)  # without the answer itself
    return mean_U[of_answer_B]


def catalogue_share(retrieved: Sequence[frozenset[int] | set[int]], pool_size: int) -> float:
    """Share of the pool that is in at least one answer.

    It grows with the number of queries, so compare it only between methods that answered the same queries.

    >>> catalogue_share([{1, 2}, {2, 3}], pool_size=12)
    0.25
    """
    return len(set().union(*retrieved)) / pool_size


def _of_each_query(measure: Callable[[Values, float], float], mean_top_BD: Values, query_emb_BD: Array) -> Values:
    """``measure(fits of all answers to a query, fit of its own answer)`` of each query; NaN if there is one answer."""
    if len(mean_top_BD) < 2:
        return np.full(len(mean_top_BD), np.nan)
    return np.array([measure(fit_B, fit_B[b]) for b, fit_B in enumerate(_fits(mean_top_BD, query_emb_BD))])


def _fits(mean_top_BD: Values, query_emb_BD: Array) -> Iterator[Values]:
    """For each query, the fit of every answer to it, shape (B,)."""
    is_empty_B = ~mean_top_BD.any(axis=1)
    for start in range(0, len(query_emb_BD), BLOCK):
        fit_bB = query_emb_BD[start : start + BLOCK].astype(np.float64) @ mean_top_BD.T
        fit_bB[:, is_empty_B] = NO_FIT
        yield from fit_bB


def _holders(answers: Mapping[frozenset[int], int]) -> dict[int, Rows]:
    """Pool row -> numbers of the answers that hold it."""
    found: dict[int, list[int]] = {}
    for rows, number in answers.items():
        for row in rows:
            found.setdefault(row, []).append(number)
    return {row: np.array(numbers, dtype=np.int64) for row, numbers in found.items()}
