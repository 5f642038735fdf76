"""The nearest items of the query, re-ranked by maximal marginal relevance (MMR; Carbonell and Goldstein, 1998)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.answers import NO_ROW, Answer, nearest, round_robin_answer
from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """Maximal marginal relevance picks k*n of the nearest items of z_q, weighing relevance against novelty.

    The first k picks are the directions' top items, and their embeddings are the directions. The other picks are
    distributed round-robin.
    """
    answers = []
    for z_q_D, candidates in zip(query_emb_BD, nearest(bench.index, query_emb_BD, bench.num_candidates), strict=True):
        pool_rows = candidates[candidates != NO_ROW]
        picks = mmr_picks(bench.index.emb_MD[pool_rows], z_q_D, bench.k * bench.n, bench.mmr_lambda)
        answers.append(round_robin_answer(pool_rows[picks], bench.index.emb_MD, bench.k, bench.n))
    return answers


def mmr_picks(candidate_emb_MD: Array, query_emb_D: Array, num_picks: int, mmr_lambda: float) -> Rows:
    """Candidates in the order of lambda * cos(c, q) - (1 - lambda) * max over picked s of cos(c, s).

    Ties go to the earlier candidate. There are fewer picks where there are fewer candidates.
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


NO_FANOUT_MMR = Method(name="no_fanout_mmr", answer=answer)
