"""Answers: the directions of a query and their items. They come from directions, sub-queries or a ranked list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.folm import SubQueries
    from r4t_ray.index import ShardedIndex

NO_ROW = -1
"""Padding of ``hits_kn`` where a direction has fewer than n items."""

EncodeTexts = Callable[[Sequence[str]], Array]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The directions of one query, in order, and the pool rows that each direction retrieves.

    If a method emits fewer than k directions, both arrays have fewer rows.

    Attributes:
        directions_kD: Unit rows, shape (k, D).
        hits_kn: Pool rows of each direction, best item first, shape (k, n). NO_ROW pads a short pool or ranking.
    """

    directions_kD: Array
    hits_kn: Rows

    def __post_init__(self) -> None:
        assert self.directions_kD.ndim == self.hits_kn.ndim == 2, "an answer holds matrices"
        assert len(self.directions_kD) == len(self.hits_kn), "one row of hits per direction"

    @property
    def retrieved(self) -> set[int]:
        """Pool rows that at least one direction retrieves."""
        return {int(row) for row in self.hits_kn.ravel() if row != NO_ROW}

    @property
    def top_rows(self) -> Rows:
        """Pool row of the first item of every direction that retrieves an item."""
        first_k = self.hits_kn[:, 0]
        return first_k[first_k != NO_ROW]


def empty_answer(dim: int, n: int) -> Answer:
    """An answer without a direction: shapes (0, dim) and (0, n)."""
    return Answer(directions_kD=np.zeros((0, dim), dtype=np.float32), hits_kn=np.full((0, n), NO_ROW, dtype=np.int64))


def round_robin(ranked_rows: Rows, k: int, n: int) -> Rows:
    """Distribute the first k*n rows of a ranking over k directions; direction i gets ranks i, i+k, i+2k, ...

    >>> round_robin(np.array([9, 8, 7, 6, 5]), k=2, n=3).tolist()
    [[9, 7, 5], [8, 6, -1]]
    """
    padded = np.full(k * n, NO_ROW, dtype=np.int64)
    first = ranked_rows[: k * n]
    padded[: len(first)] = first
    return np.ascontiguousarray(padded.reshape(n, k).T)


def round_robin_answer(ranked_rows: Rows, item_emb_MD: Array, k: int, n: int) -> Answer:
    """Turn a ranked list into an answer.

    The directions are the embeddings of the first k items. The items are distributed round-robin over them.
    """
    emitted = min(k, len(ranked_rows))
    return Answer(directions_kD=item_emb_MD[ranked_rows[:emitted]], hits_kn=round_robin(ranked_rows, k, n)[:emitted])


def nearest(index: ShardedIndex, emb_BD: Array, n: int) -> Rows:
    """The n nearest pool rows of each vector, best first, shape (B, n). NO_ROW pads a pool with fewer rows."""
    found = min(n, len(index.ids))
    rows_BK = index.search(np.ascontiguousarray(emb_BD, dtype=np.float32), found)[1]
    return np.pad(rows_BK, ((0, 0), (0, n - found)), constant_values=NO_ROW).astype(np.int64)


def picked_rows(
    index: ShardedIndex, query_emb_BD: Array, num_candidates: int, pick: Callable[[Array, Array], Rows]
) -> list[Rows]:
    """Pool rows that ``pick`` takes from the nearest items of each query, in order.

    Args:
        index: The pool.
        query_emb_BD: Unit embeddings of the queries.
        num_candidates: Nearest items of a query from which ``pick`` takes.
        pick: (embeddings of the candidates (M, D), the query's embedding (D,)) -> positions of the picks.
    """
    rows = []
    for z_q_D, candidates in zip(query_emb_BD, nearest(index, query_emb_BD, num_candidates), strict=True):
        pool_rows = candidates[candidates != NO_ROW]
        rows.append(pool_rows[pick(index.emb_MD[pool_rows], z_q_D)])
    return rows


def answers_of_directions(index: ShardedIndex, directions: Sequence[Array], n: int) -> list[Answer]:
    """Search all directions of all queries in one call.

    Args:
        index: The pool.
        directions: One array of shape (k', D) per query; k' may differ between queries.
        n: Items per direction.

    Returns:
        One answer per query, in the order of ``directions``.
    """
    dim = index.emb_MD.shape[1]
    if not any(len(directions_kD) for directions_kD in directions):
        return [empty_answer(dim, n) for _ in directions]
    hits = nearest(index, np.concatenate([directions_kD for directions_kD in directions if len(directions_kD)]), n)
    ends = np.cumsum([len(directions_kD) for directions_kD in directions])
    return [
        Answer(directions_kD=np.asarray(directions_kD, dtype=np.float32).reshape(-1, dim), hits_kn=hits_kn)
        for directions_kD, hits_kn in zip(directions, np.split(hits, ends[:-1]), strict=True)
    ]


def directions_of(outputs: Sequence[SubQueries], encode: EncodeTexts, k: int, dim: int) -> list[Array]:
    """Embed the first k sub-queries of every output in one call of the encoder.

    Returns:
        One array of shape (k', dim) per output, with k' <= k. An output that is empty or cannot be parsed gives
        (0, dim).
    """
    kept = [tuple(sub_queries or ())[:k] for sub_queries in outputs]
    texts = [text for sub_queries in kept for text in sub_queries]
    emb_BD = encode(texts) if texts else np.zeros((0, dim), dtype=np.float32)
    ends = np.cumsum([len(sub_queries) for sub_queries in kept])
    return np.split(emb_BD, ends[:-1]) if kept else []


def batches(num: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` elements that cover ``range(num)`` in order."""
    return (slice(start, min(start + size, num)) for start in range(0, num, size))
