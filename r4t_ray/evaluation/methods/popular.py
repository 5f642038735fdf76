"""The most frequent items of the training sets, whatever the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from r4t_ray.evaluation.answers import Answer, Index, Query, dealt_answer
from r4t_ray.evaluation.bench import Bench
from r4t_ray.types import Array, Rows, Task


@dataclass(frozen=True)
class Popular:
    """The k*n items most frequent in the training references, whatever the query.

    Dealt round-robin over k directions, which are the embeddings of the k most frequent.
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
        ranked = ranked[counts_M[ranked] > 0]
        answer = dealt_answer(ranked, self.index.emb_MD, self.k, self.n)
        return [answer for _ in queries]


def reference_counts(references: Sequence[Rows], pool_size: int) -> Rows:
    """In how many references each pool row occurs."""
    rows = [np.unique(reference) for reference in references]
    return np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *rows]), minlength=pool_size).astype(np.int64)
