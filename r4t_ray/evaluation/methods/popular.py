"""The most frequent items of the training sets as directions, whatever the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from r4t_ray.evaluation.answers import Answer, Index, Query, answers_of_directions
from r4t_ray.evaluation.bench import Bench
from r4t_ray.types import Array, Rows, Task


@dataclass(frozen=True)
class Popular:
    """The k items most frequent in the training references as directions, whatever the query.

    Each brings its n nearest items.
    """

    index: Index
    k: int
    n: int
    train_references: Sequence[Rows]

    name: ClassVar[str] = "popular"
    tasks: ClassVar[tuple[Task, ...]] = ("wscr",)

    @classmethod
    def build(cls, bench: Bench) -> Popular:
        """From the pool and the training references."""
        return cls(bench.index, bench.k, bench.n, bench.train_references)

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Give every query the same answer; the seed is not used."""
        counts_M = reference_counts(self.train_references, len(self.index.emb_MD))
        ranked = np.argsort(-counts_M, kind="stable")
        answer = self._answer(ranked[counts_M[ranked] > 0])
        return [answer for _ in queries]

    def _answer(self, ranked_rows: Rows) -> Answer:
        return answers_of_directions(self.index, [self.index.emb_MD[ranked_rows[: self.k]]], self.n)[0]


def reference_counts(references: Sequence[Rows], pool_size: int) -> Rows:
    """In how many references each pool row occurs."""
    rows = [np.unique(reference) for reference in references]
    return np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *rows]), minlength=pool_size).astype(np.int64)
