"""No fan-out: the query's own nearest items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from r4t_ray.evaluation.answers import Answer, Index, Query, deal, nearest
from r4t_ray.evaluation.bench import Bench
from r4t_ray.types import TASKS, Array, Task


@dataclass(frozen=True)
class NoFanOut:
    """The k*n nearest items of z_q.

    All k directions are z_q; direction i holds ranks i, i+k, i+2k, ..., so that the k top items are the k best.
    """

    index: Index
    k: int
    n: int

    name: ClassVar[str] = "no_fanout"
    tasks: ClassVar[tuple[Task, ...]] = TASKS

    @classmethod
    def build(cls, bench: Bench) -> NoFanOut:
        """From the pool alone."""
        return cls(bench.index, bench.k, bench.n)

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Answer every query; the seed is not used."""
        ranked_BK = nearest(self.index, query_emb_BD, self.k * self.n)
        return [
            Answer(np.repeat(z_q_D[None], self.k, axis=0), deal(ranked_K, self.k, self.n))
            for z_q_D, ranked_K in zip(query_emb_BD, ranked_BK, strict=True)
        ]
