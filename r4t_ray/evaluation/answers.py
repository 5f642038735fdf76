"""What a method answers, what it is asked through, and how a ranking becomes k directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from r4t_ray.types import Array, Rows, Task

NO_ROW = -1
"""Stands in ``hits_kn`` where a direction has fewer than n items."""


class Query(Protocol):
    """The part of ``catalogue.Query`` that evaluation reads."""

    @property
    def query_id(self) -> str:
        """Key of its embedding."""
        ...

    @property
    def text(self) -> str:
        """What the person asked."""
        ...

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The reference set; empty on oar."""
        ...


class Index(Protocol):
    """The part of ``index.ShardedIndex`` that evaluation uses: a pool and its search."""

    @property
    def ids(self) -> list[str]:
        """The pool's ids, in row order."""
        ...

    @property
    def emb_MD(self) -> Array:
        """The pool's unit embeddings."""
        ...

    def search(self, q_BD: Array, k: int) -> tuple[Array, Rows]:
        """Cosines, descending, and pool rows of the k nearest."""
        ...


@dataclass(frozen=True)
class Answer:
    """The directions of one query, in order, and the pool rows that each brings.

    ``directions_kD`` has unit rows. ``hits_kn`` has one row a direction, best first; NO_ROW where the pool or the
    ranking was too short. A method that emits fewer than k directions has fewer rows in both.
    """

    directions_kD: Array
    hits_kn: Rows

    def __post_init__(self) -> None:
        assert self.directions_kD.ndim == self.hits_kn.ndim == 2, "an answer holds matrices"
        assert len(self.directions_kD) == len(self.hits_kn), "one row of hits a direction"

    @property
    def retrieved(self) -> set[int]:
        """The union of the directions' items, as pool rows."""
        return {int(row) for row in self.hits_kn.ravel() if row != NO_ROW}

    @property
    def top_rows(self) -> Rows:
        """The first item of every direction that has one."""
        first_k = self.hits_kn[:, 0]
        return first_k[first_k != NO_ROW]


class Method(Protocol):
    """One row of the tables. The class docstring is its definition: the report prints it."""

    name: ClassVar[str]
    tasks: ClassVar[tuple[Task, ...]]

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Answer every query; ``query_emb_BD`` are the unit embeddings of their texts."""
        ...


@runtime_checkable
class Generative(Protocol):
    """A method with a generation step, the one whose latency is measured."""

    def generate(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> object:
        """The generation alone: from query text (LM) or z_q (diffusion) to directions, with no search."""
        ...


def empty_answer(dim: int, n: int) -> Answer:
    """The answer of an output that names no direction."""
    return Answer(np.zeros((0, dim), dtype=np.float32), np.full((0, n), NO_ROW, dtype=np.int64))


def deal(ranked_rows: Rows, k: int, n: int) -> Rows:
    """Deal the first k*n rows of a ranking round-robin over k directions: direction i gets ranks i, i+k, i+2k, ...

    >>> deal(np.array([9, 8, 7, 6, 5]), k=2, n=3).tolist()
    [[9, 7, 5], [8, 6, -1]]
    """
    padded = np.full(k * n, NO_ROW, dtype=np.int64)
    dealt = ranked_rows[: k * n]
    padded[: len(dealt)] = dealt
    return np.ascontiguousarray(padded.reshape(n, k).T)


def dealt_answer(ranked_rows: Rows, item_emb_MD: Array, k: int, n: int) -> Answer:
    """The answer whose directions are the embeddings of the first k ranked items and whose items are dealt."""
    emitted = min(k, len(ranked_rows))
    return Answer(item_emb_MD[ranked_rows[:emitted]], deal(ranked_rows, k, n)[:emitted])


def nearest(index: Index, emb_BD: Array, n: int) -> Rows:
    """The n nearest pool rows of each vector, best first; NO_ROW where the pool holds fewer."""
    found = min(n, len(index.ids))
    rows_BK = index.search(np.ascontiguousarray(emb_BD, dtype=np.float32), found)[1]
    return np.pad(rows_BK, ((0, 0), (0, n - found)), constant_values=NO_ROW).astype(np.int64)


def answers_of_directions(index: Index, directions: Sequence[Array], n: int) -> list[Answer]:
    """Search every direction of every query at once; ``directions`` holds one (k, D) array a query, k may differ."""
    dim = index.emb_MD.shape[1]
    if not any(len(directions_kD) for directions_kD in directions):
        return [empty_answer(dim, n) for _ in directions]
    hits = nearest(index, np.concatenate([directions_kD for directions_kD in directions if len(directions_kD)]), n)
    ends = np.cumsum([len(directions_kD) for directions_kD in directions])
    return [
        Answer(np.asarray(directions_kD, dtype=np.float32).reshape(-1, dim), hits_kn)
        for directions_kD, hits_kn in zip(directions, np.split(hits, ends[:-1]), strict=True)
    ]


def batches(num: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``range(num)``."""
    return (slice(start, min(start + size, num)) for start in range(0, num, size))
