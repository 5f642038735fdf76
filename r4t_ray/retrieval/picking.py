"""The items of an answer, from its directions. Retrieval in process, a server and the evaluation all pick by it.

The functions that search are generators. They yield a search and are sent its hits, so the caller may block or await.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from r4t_ray.decoder import QueryDecoder
from r4t_ray.types import Array, Hits, IndexName, Rows, Search

T = TypeVar("T")

Searching = Generator[tuple[IndexName, Search], Hits, T]
"""Yields an index and a search of it, is sent the hits, and returns a T."""


@dataclass(frozen=True, kw_only=True)
class Picked:
    """The items of an answer, best first, and the items of each direction.

    Attributes:
        rows_K: Pool rows; each once.
        scores_K: Their scores: the largest cosine to a direction (oar), or s_i of the decoder (wscr).
        owner_K: The direction under which each item stands: the one with the highest cosine to it.
        lists: For each direction the pool rows that it lists, best first, and their scores.
    """

    rows_K: Rows
    scores_K: Array
    owner_K: Rows
    lists: tuple[tuple[Rows, Array], ...]

    @property
    def weights(self) -> list[float]:
        """Each direction's share of softmax(scores) over the items of the answer. Without an item they are 0."""
        shares_K = np.exp(self.scores_K.astype(np.float64) - self.scores_K.max(initial=-np.inf))
        weight_k = np.bincount(self.owner_K, shares_K / shares_K.sum(), len(self.lists))
        return [float(weight) for weight in weight_k]


def run(searching: Searching[T], search: Callable[[IndexName, Search], Hits]) -> T:
    """Answer every search of a generator by a function, and return what the generator returns."""
    try:
        name, wanted = next(searching)
        while True:
            name, wanted = searching.send(search(name, wanted))
    except StopIteration as finished:
        result: T = finished.value
        return result


def pick_by_cosine(hits: Hits, total: int | None = None) -> Picked:
    """The hits of each direction, or the ``total`` items with the largest cosine to a direction.

    Args:
        hits: Cosines and pool rows of each direction's nearest items.
        total: Items of the answer, each listed by the direction nearest to it. With None each direction lists its hits.
    """
    scores_kK, rows_kK = hits
    rows_K, scores_K, owner_K = best_rows(hits)
    if total is None:
        found_kK = rows_kK >= 0
        lists = tuple(
            (rows[found], scores[found]) for rows, scores, found in zip(rows_kK, scores_kK, found_kK, strict=True)
        )
        return Picked(rows_K=rows_K, scores_K=scores_K, owner_K=owner_K, lists=lists)
    rows_K, scores_K, owner_K = rows_K[:total], scores_K[:total], owner_K[:total]
    return _listed(rows_K, scores_K, owner_K, [np.flatnonzero(owner_K == own) for own in range(len(rows_kK))])


def pick_by_score(
    decoder: QueryDecoder, z_q_D: Array, z_kD: Array, *, total: int, n: int | None = None, exclude: tuple[int, ...] = ()
) -> Searching[Picked]:
    """The ``total`` items with the largest scores of the decoder.

    Args:
        decoder: Scores the items.
        z_q_D: Unit embedding of the query.
        z_kD: Its directions, one or more unit rows.
        total: Items of the answer.
        n: Items per direction; see ``share_out``. With None each direction lists the items that stand under it.
        exclude: Pool rows that the answer must not have.
    """
    scored = yield "decoder", Search(z_LD=decoder.query_vectors(z_q_D, z_kD), num_hits=total, exclude=exclude)
    # An item's score is its largest inner product with a query vector, so that query vector has it among its hits.
    rows_K, scores_K, _ = best_rows(scored)
    rows_K, scores_K = rows_K[:total], scores_K[:total]
    cos_kK = np.zeros((len(z_kD), 0), np.float32)
    if len(rows_K):
        cosines = yield "wscr", Search(z_LD=z_kD, num_hits=len(rows_K), where=np.sort(rows_K))
        cos_kK = cosines_of(cosines, rows_K)
    owner_K = cos_kK.argmax(axis=0)
    listed = [np.flatnonzero(owner_K == own) for own in range(len(z_kD))] if n is None else share_out(cos_kK, n)
    return _listed(rows_K, scores_K, owner_K, listed)


def best_rows(hits: Hits) -> tuple[Rows, Array, Rows]:
    """Every row that a direction found, its best score and the direction that gave it, best first; ties go by row."""
    scores_kK, rows_kK = hits
    directions, places = np.nonzero(rows_kK >= 0)
    rows, scores = rows_kK[directions, places], scores_kK[directions, places]
    order = np.lexsort((directions, -scores, rows))
    first = order[np.unique(rows[order], return_index=True)[1]]
    best = first[np.lexsort((rows[first], -scores[first]))]
    return rows[best], scores[best], directions[best]


def cosines_of(hits: Hits, rows_K: Rows) -> Array:
    """The cosine of each direction with each of the rows, (k, K), from hits that hold all the rows."""
    scores_kK, found_kK = hits
    order_kK = np.argsort(found_kK, axis=1)
    place_K = np.argsort(np.argsort(rows_K))
    return np.take_along_axis(scores_kK, order_kK, axis=1)[:, place_K]


def share_out(cos_kK: Array, n: int) -> list[Rows]:
    """Give at most ``n`` items to each direction, each item once.

    1. Each direction takes the first n of the items that are nearest to it, so the n with the largest scores.
    2. The directions that have room are filled by the other items. Each of those goes to the direction with room that
       is nearest to it. If too many go to one direction, it takes its nearest, and the rest choose again.

    Args:
        cos_kK: Cosine of each direction with each item. The items are ordered by descending score.
        n: Items per direction.

    Returns:
        The items of each direction: first those of step 1, then those of step 2, each by descending score.

    >>> share_out(np.float32([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]]), n=2)
    [array([0, 1]), array([2])]
    """
    owner_K = cos_kK.argmax(axis=0)
    owned = [np.flatnonzero(owner_K == own) for own in range(len(cos_kK))]
    listed, left = [rows[:n] for rows in owned], np.sort(np.concatenate([rows[n:] for rows in owned]))
    added: list[list[int]] = [[] for _ in owned]
    while len(left):
        room = np.array([n - len(rows) - len(more) for rows, more in zip(listed, added, strict=True)])
        if not (room > 0).any():
            break
        wanted_K = np.where(room[:, None] > 0, cos_kK[:, left], -np.inf).argmax(axis=0)
        taken = np.zeros(len(left), dtype=bool)
        for direction in np.unique(wanted_K):
            (asking,) = np.nonzero(wanted_K == direction)
            nearest = asking[np.argsort(-cos_kK[direction, left[asking]], kind="stable")[: room[direction]]]
            added[direction] += left[nearest].tolist()
            taken[nearest] = True
        left = left[~taken]
    return [np.concatenate([rows, np.sort(np.array(more, np.int64))]) for rows, more in zip(listed, added, strict=True)]


def _listed(rows_K: Rows, scores_K: Array, owner_K: NDArray[np.int64], listed: list[Rows]) -> Picked:
    """An answer whose directions list the items at the given positions."""
    lists = tuple((rows_K[positions], scores_K[positions]) for positions in listed)
    return Picked(rows_K=rows_K, scores_K=scores_K, owner_K=owner_K, lists=lists)
