"""No fan-out, re-ranked by maximal marginal relevance (Carbonell and Goldstein, 1998)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from r4t_ray.evaluation.answers import NO_ROW, Answer, Index, Query, dealt_answer, nearest
from r4t_ray.evaluation.bench import Bench
from r4t_ray.types import TASKS, Array, Rows, Task


@dataclass(frozen=True)
class NoFanOutMMR:
    """MMR picks k*n of the nearest items of z_q, weighing relevance against novelty.

    The first k picks are the directions' top items, their embeddings the directions; the rest is dealt round-robin.
    """

    index: Index
    k: int
    n: int
    num_candidates: int
    mmr_lambda: float

    name: ClassVar[str] = "no_fanout_mmr"
    tasks: ClassVar[tuple[Task, ...]] = TASKS

    @classmethod
    def build(cls, bench: Bench) -> NoFanOutMMR:
        """From the pool alone."""
        return cls(bench.index, bench.k, bench.n, bench.num_candidates, bench.mmr_lambda)

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Answer every query; the seed is not used."""
        answers = []
        for z_q_D, candidates in zip(query_emb_BD, nearest(self.index, query_emb_BD, self.num_candidates), strict=True):
            pool_rows = candidates[candidates != NO_ROW]
            picks = mmr_picks(self.index.emb_MD[pool_rows], z_q_D, self.k * self.n, self.mmr_lambda)
            answers.append(dealt_answer(pool_rows[picks], self.index.emb_MD, self.k, self.n))
        return answers


def mmr_picks(candidate_emb_MD: Array, query_emb_D: Array, num_picks: int, mmr_lambda: float) -> Rows:
    """Candidates in the order of lambda * cos(c, q) - (1 - lambda) * max over picked s of cos(c, s).

    Ties go to the earlier candidate; fewer picks where there are fewer candidates.
    """
    relevance_M = candidate_emb_MD @ query_emb_D
    redundancy_M = np.zeros_like(relevance_M)
    open_M = np.ones(len(relevance_M), dtype=bool)
    picks: list[int] = []
    while len(picks) < min(num_picks, len(relevance_M)):
        value_M = mmr_lambda * relevance_M - (1.0 - mmr_lambda) * redundancy_M
        pick = int(np.argmax(np.where(open_M, value_M, -np.inf)))
        open_M[pick] = False
        cosine_M = candidate_emb_MD @ candidate_emb_MD[pick]
        redundancy_M = np.maximum(redundancy_M, cosine_M) if picks else cosine_M
        picks.append(pick)
    return np.array(picks, dtype=np.int64)
