"""The nearest items of the query, re-ranked by maximal marginal relevance (MMR; Carbonell and Goldstein, 1998)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, picked_rows
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

LAMBDAS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """Maximal marginal relevance picks k of the query's nearest items by relevance and novelty.

    Their embeddings are the directions. Each direction retrieves its n nearest items. The weight of relevance, lambda,
    is tuned on validation queries. At lambda 1 the picks are the k nearest items.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, MMR.name, LAMBDAS, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, mmr_lambda: float) -> list[Answer]:
    """The answers with one value of lambda."""
    pick = partial(mmr_picks, num_picks=bench.k, mmr_lambda=mmr_lambda)
    picked = picked_rows(bench.index, query_emb_BD, bench.num_candidates, pick)
    return answers_of_directions(bench.index, [bench.index.emb_MD[rows] for rows in picked], bench.n)


def mmr_picks(candidate_emb_MD: Array, query_emb_D: Array, num_picks: int, mmr_lambda: float) -> Rows:
    """Pick candidates one by one by the largest lambda * cos(c, q) - (1 - lambda) * max over picked s of cos(c, s).

    Ties go to the earlier candidate.

    Args:
        candidate_emb_MD: Unit embeddings of the candidates, shape (M, D).
        query_emb_D: Unit embedding of the query, shape (D,).
        num_picks: Number of picks.
        mmr_lambda: lambda, from 0 (novelty alone) to 1 (relevance alone).

    Returns:
        Positions of the picks in order, shape (min(num_picks, M),).
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


MMR = Method(name="mmr", answer=answer)
