"""Greedy maximisation of the OAR (open-ended abstract retrieval) reward at query time, without a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import NO_ROW, Answer, answers_of_directions, nearest
from r4t_ray.measures import vendi_of_kernels
from r4t_ray.rewards import OARConfig, oar_reward
from r4t_ray.rewards.greedy import greedy_specific, kernels_with_each
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """Greedy maximisation of the OAR reward at query time: oar_reward in wscr, the reward of the run in oar.

    A run that was trained on back-translation maximises the specific reward, because back-translation is too slow.
    The directions are embeddings of items near the query. Each step adds the item that raises the reward most. Each
    direction retrieves its n nearest items. The method does not see a reference set.
    """
    directions = []
    found = nearest(bench.index, query_emb_BD, bench.num_candidates)
    for query, z_q_D, candidates in zip(queries, query_emb_BD, found, strict=True):
        candidate_emb_MD = bench.index.emb_MD[candidates[candidates != NO_ROW]]
        if bench.specific is None:
            picks = greedy_picks(candidate_emb_MD, z_q_D, bench.k, bench.reward)
        else:
            nearness_M = bench.specific.nearness(query.query_id, z_q_D, candidate_emb_MD)
            picks = greedy_specific(candidate_emb_MD, nearness_M, bench.k, bench.specific.config.gamma)
        directions.append(candidate_emb_MD[picks])
    return answers_of_directions(bench.index, directions, bench.n)


def greedy_picks(candidate_emb_MD: Array, query_emb_D: Array, k: int, config: OARConfig) -> Rows:
    """Pick k candidates one by one; each pick raises eq. 1 of arXiv 2603.06397 most.

    Every component is divided by the final k at every pick, so the value after k picks is the reward. Each pick has
    groundedness 1, because a candidate is an item of the pool. Ties go to the earlier candidate.

    Args:
        candidate_emb_MD: Unit embeddings of the candidates, shape (M, D).
        query_emb_D: Unit embedding of the query, shape (D,).
        k: Number of picks.
        config: Weights of the reward.

    Returns:
        Positions of the picks in order, shape (min(k, M),).
    """
    align_M = candidate_emb_MD @ query_emb_D
    emb_MD, everyone_M = candidate_emb_MD.astype(np.float64), np.arange(len(align_M))
    cos_PM = np.empty((0, len(emb_MD)))
    picks: list[int] = []
    while len(picks) < min(k, len(align_M)):
        div_M = vendi_of_kernels(kernels_with_each(cos_PM, picks, everyone_M) / (len(picks) + 1)) / k
        ground_M = np.full(len(align_M), (len(picks) + 1) / k, dtype=np.float32)
        mean_align_M = (align_M[picks].sum() + align_M) / k
        reward_M = oar_reward(ground_M, div_M.astype(np.float32), mean_align_M.astype(np.float32), config)
        picks.append(int(np.argmax(np.where(np.isin(everyone_M, picks), -np.inf, reward_M))))
        cos_PM = np.vstack([cos_PM, emb_MD @ emb_MD[picks[-1]]])
    return np.array(picks, dtype=np.int64)


GREEDY_REWARD = Method(name="greedy_reward", answer=answer)
