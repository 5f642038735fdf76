"""Answers without generated directions: the nearest entries of the query, and maximal marginal relevance over them.

MMR is by Carbonell and Goldstein (1998).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from r4t_ray.retrieval.filtering.caps import Room
from r4t_ray.retrieval.picking import Picked, Searching, best_rows, best_with_room, without_noise
from r4t_ray.types import Array, Fetch, Rows, Search, Task

NUM_CANDIDATES = 200
"""Nearest entries of the query among which MMR picks, or the items of the answer if these are more."""


def nearest(task: Task, wanted: Search, room: Room | None) -> Searching[Picked]:
    """The ``wanted.num_hits`` nearest entries of the query, ``wanted.z_LD[0]``, under one direction."""
    best = (yield from best_with_room(task, wanted, room)) if room else best_rows(without_noise((yield task, wanted)))
    rows_K, scores_K = best[0][: wanted.num_hits], best[1][: wanted.num_hits]
    return _under_the_query(rows_K, scores_K)


def marginally_relevant(task: Task, wanted: Search, room: Room | None, mmr_lambda: float) -> Searching[Picked]:
    """As ``nearest``, picked by ``mmr_picks``. The items are in the order of the picks."""
    num = wanted.num_hits
    found = yield from nearest(task, replace(wanted, num_hits=max(num, NUM_CANDIDATES)), room)
    if not len(found.rows_K):
        return found
    emb_KD = yield task, Fetch(rows=found.rows_K)
    picks = mmr_picks(emb_KD, wanted.z_LD[0], num, mmr_lambda)
    return _under_the_query(found.rows_K[picks], found.scores_K[picks])


def _under_the_query(rows_K: Rows, scores_K: Array) -> Picked:
    owner_K = np.zeros(len(rows_K), np.int64)
    return Picked(rows_K=rows_K, scores_K=scores_K, owner_K=owner_K, lists=((rows_K, scores_K),))


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
