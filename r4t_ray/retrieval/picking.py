"""The items of an answer, from its directions. Retrieval in process, a server and the evaluation all pick by it.

The functions that search are generators. They yield a search and are sent its hits, so the caller may block or await.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from r4t_ray.decoder import QueryDecoder
from r4t_ray.retrieval.filtering.caps import MAX_SEARCHES, Room, num_deeper, num_searched
from r4t_ray.types import Array, Fetch, Hits, IndexName, Mask, Rows, Search

T = TypeVar("T")

Lookup = Search | Fetch
"""A search of an index, which gives its ``Hits``, or a read of embeddings, which gives an array (K, D)."""

Searching = Generator[tuple[IndexName, Lookup], Any, T]
"""Yields an index and a lookup in it, is sent what was found, and returns a T."""

ROUNDING = 1e-6
"""Largest rounding error of a cosine in float32."""

Best = tuple[Rows, Array, Rows]
"""Pool rows (K,), the best score of each over the directions, and the direction that gave it, best first."""


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


def run(searching: Searching[T], search: Callable[[IndexName, Any], Any]) -> T:
    """Answer every lookup of a generator by a function, and return what the generator returns."""
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
    scores_kK, rows_kK = hits = without_noise(hits)
    best = best_rows(hits)
    if total is not None:
        return _owned(best, total, len(rows_kK))
    found_kK = rows_kK >= 0
    lists = tuple(
        (rows[found], scores[found]) for rows, scores, found in zip(rows_kK, scores_kK, found_kK, strict=True)
    )
    return Picked(rows_K=best[0], scores_K=best[1], owner_K=best[2], lists=lists)


def pick_by_cosine_with_room(wanted: Search, room: Room, total: int | None = None) -> Searching[Picked]:
    """As ``pick_by_cosine``, of the items that have room, in the pool of oar.

    Without ``total``, items are taken by descending cosine over all directions, until each direction has
    ``wanted.num_hits``. An item that was taken may stand under several directions.
    """
    if total is not None:
        best = yield from best_with_room("oar", replace(wanted, num_hits=total), room)
        return _owned(best, total, len(wanted.z_LD))
    n, k = wanted.num_hits, len(wanted.z_LD)
    lists: list[dict[int, float]] = [{} for _ in range(k)]
    search = replace(wanted, num_hits=num_searched(n))
    for _ in range(MAX_SEARCHES):
        short = [direction for direction, own in enumerate(lists) if len(own) < n]
        scores_kK, rows_kK = yield "oar", replace(search, z_LD=wanted.z_LD[short])
        for place in np.argsort(-scores_kK, axis=None, kind="stable").tolist():
            own, row = lists[short[place // rows_kK.shape[1]]], int(rows_kK.flat[place])
            if row >= 0 and len(own) < n and row not in own and room.take(row):
                own[row] = float(scores_kK.flat[place])
        if all(len(own) == n for own in lists) or _is_everything(scores_kK, search):
            break
        open_M = room.open_rows()
        open_M[list(room.taken)] = True
        search = _deeper(search, open_M, wanted)
    rows_kn, scores_kn = np.full((k, n), -1, np.int64), np.full((k, n), -np.inf, np.float32)
    for direction, own in enumerate(lists):
        rows_kn[direction, : len(own)], scores_kn[direction, : len(own)] = list(own), list(own.values())
    return pick_by_cosine((scores_kn, rows_kn))


def pick_by_score(
    decoder: QueryDecoder, z_q_D: Array, wanted: Search, *, n: int | None = None, room: Room | None = None
) -> Searching[Picked]:
    """The ``wanted.num_hits`` items with the largest scores of the decoder.

    Args:
        decoder: Scores the items.
        z_q_D: Unit embedding of the query.
        wanted: The query's directions, the number of items, and the pool rows that the answer may have.
        n: Items per direction; see ``share_out``. With None each direction lists the items that stand under it.
        room: Takes the items. None takes every item.
    """
    z_kD = wanted.z_LD
    # An item's score is its largest inner product with a query vector, so that query vector has it among its hits.
    search = replace(wanted, z_LD=decoder.query_vectors(z_q_D, z_kD))
    best = (
        (yield from best_with_room("decoder", search, room))
        if room
        else best_rows(without_noise((yield "decoder", search)))
    )
    rows_K, scores_K = best[0][: wanted.num_hits], best[1][: wanted.num_hits]
    cos_kK = np.zeros((len(z_kD), 0), np.float32)
    if len(rows_K):
        cosines = yield "wscr", Search(z_LD=z_kD, num_hits=len(rows_K), where=np.sort(rows_K))
        is_found_K = np.isin(rows_K, cosines[1])  # all are found, unless a shard went down meanwhile
        rows_K, scores_K = rows_K[is_found_K], scores_K[is_found_K]
        cos_kK = cosines_of(cosines, rows_K)
    owner_K = cos_kK.argmax(axis=0)
    listed = [np.flatnonzero(owner_K == own) for own in range(len(z_kD))] if n is None else share_out(cos_kK, n)
    return _listed(rows_K, scores_K, owner_K, listed)


def without_noise(hits: Hits) -> Hits:
    """The hits with scores of exactly 1 where only rounding differs: the cosines of directions that are entries."""
    return np.where(np.abs(hits[0] - 1) < ROUNDING, np.float32(1), hits[0]), hits[1]


def best_rows(hits: Hits) -> Best:
    """Every row that a direction found, its best score and the direction that gave it, best first.

    Ties go by direction, then by row. Under a solver that ranks its rows, the first direction is the most likely one.
    """
    scores_kK, rows_kK = hits
    directions, places = np.nonzero(rows_kK >= 0)
    rows, scores = rows_kK[directions, places], scores_kK[directions, places]
    order = np.lexsort((directions, -scores, rows))
    first = order[np.unique(rows[order], return_index=True)[1]]
    best = first[np.lexsort((rows[first], directions[first], -scores[first]))]
    return rows[best], scores[best], directions[best]


def best_with_room(name: IndexName, wanted: Search, room: Room) -> Searching[Best]:
    """As ``best_rows``, of the first ``wanted.num_hits`` rows that have room. See ``caps`` for its bounds."""
    found: list[Best] = []
    search = replace(wanted, num_hits=num_searched(wanted.num_hits))
    for _ in range(MAX_SEARCHES):
        hits = without_noise((yield name, search))
        rows_K, scores_K, owner_K = best_rows(hits)
        is_all = _is_everything(hits[0], search)
        # A row that no direction found scores at most the highest of their last hits. The rows above it are in order.
        sure = len(rows_K) if is_all else int((scores_K >= hits[0][:, -1].max()).sum())
        taken = [place for place in range(sure) if room.take(int(rows_K[place]))]
        found.append((rows_K[taken], scores_K[taken], owner_K[taken]))
        if is_all or len(room.taken) >= wanted.num_hits:
            break
        open_M = room.open_rows()
        open_M[list(room.taken)] = False
        search = _deeper(search, open_M, wanted)
    rows_K, scores_K, owner_K = (np.concatenate(parts)[: wanted.num_hits] for parts in zip(*found, strict=True))
    return rows_K, scores_K, owner_K


def _deeper(search: Search, open_M: Mask, wanted: Search) -> Search:
    """A search for more hits than the one before, among the open rows that ``wanted`` allows."""
    where = open_M if wanted.where is None else open_M & wanted.where
    return replace(search, where=where, num_hits=num_deeper(search.num_hits, len(wanted.z_LD)))


def _is_everything(scores_kK: Array, search: Search) -> bool:
    """Whether the hits of a search are all rows that it may find."""
    return scores_kK.shape[1] < search.num_hits or not np.isfinite(scores_kK[:, -1]).any()


def cosines_of(hits: Hits, rows_K: Rows) -> Array:
    """The cosine of each direction with each of the rows, (k, K), from hits that hold all the rows."""
    scores_kK, found_kK = hits
    order_kK = np.argsort(found_kK, axis=1)[:, found_kK.shape[1] - len(rows_K) :]  # row -1 is padding
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


def page_of(picked: Picked, offset: int, total: int) -> Picked:
    """The items of an answer in ``total`` form from position ``offset`` on, at most ``total``."""
    page = slice(offset, offset + total)
    owner_K = picked.owner_K[page]
    listed = [np.flatnonzero(owner_K == own) for own in range(len(picked.lists))]
    return _listed(picked.rows_K[page], picked.scores_K[page], owner_K, listed)


def _owned(best: Best, total: int, num_directions: int) -> Picked:
    """An answer of the ``total`` best items, each listed by the direction that gave its score."""
    rows_K, scores_K, owner_K = best[0][:total], best[1][:total], best[2][:total]
    return _listed(rows_K, scores_K, owner_K, [np.flatnonzero(owner_K == own) for own in range(num_directions)])


def _listed(rows_K: Rows, scores_K: Array, owner_K: NDArray[np.int64], listed: list[Rows]) -> Picked:
    """An answer whose directions list the items at the given positions."""
    lists = tuple((rows_K[positions], scores_K[positions]) for positions in listed)
    return Picked(rows_K=rows_K, scores_K=scores_K, owner_K=owner_K, lists=lists)
