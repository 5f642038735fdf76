"""Greedy maximisation of the reward that is about the query (``rewards.specific``), over given candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.measures import vendi_of_kernels
from r4t_ray.types import Array, Rows


def greedy_specific(candidate_emb_MD: Array, nearness_M: Array, k: int, gamma: float) -> Rows:
    """Pick k entries one by one. Each pick raises R = (1/k sum of p) (Vendi / k)^gamma most.

    The directions are the entries themselves, so every groundedness is 1. After P picks the k - P others count as
    missing directions. So R is comparable between all steps, and the last R is the reward of the answer. Ties go to
    the earlier candidate. R is linear in p, so the mean of p over queries gives the picks of the best constant answer.

    Args:
        candidate_emb_MD: Unit embeddings of the candidates.
        nearness_M: The nearness p of each candidate to the query.
        k: Directions of an answer.
        gamma: Exponent of diversity.

    Returns:
        Positions of the picks in order, shape (min(k, M),).

    >>> greedy_specific(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0.9, 0.9, 0.8]), k=2, gamma=1.0)
    array([0, 2])
    """
    kernel_MM = candidate_emb_MD.astype(np.float64) @ candidate_emb_MD.T.astype(np.float64)
    picks: list[int] = []
    left_M = np.arange(len(nearness_M))
    while len(picks) < k and len(left_M):
        kernels_MPP = kernels_with_each(kernel_MM, picks, left_M) / k
        div_M = vendi_of_kernels(kernels_MPP, 1.0 - (len(picks) + 1) / k) / k
        reward_M = (nearness_M[picks].sum() + nearness_M[left_M]) / k * div_M**gamma
        best = int(np.argmax(reward_M))
        picks.append(int(left_M[best]))
        left_M = np.delete(left_M, best)
    return np.array(picks, dtype=np.int64)


def kernels_with_each(
    kernel_MM: NDArray[np.float64], picks: Sequence[int], others_N: Rows | None = None
) -> NDArray[np.float64]:
    """Kernels of the P picks and one other each, shape (N, P + 1, P + 1); with None the others are all M rows."""
    others_N = np.arange(len(kernel_MM)) if others_N is None else others_N
    num = len(picks)
    joint_NPP = np.empty((len(others_N), num + 1, num + 1))
    joint_NPP[:, :num, :num] = kernel_MM[np.ix_(picks, picks)]
    joint_NPP[:, num, :num] = joint_NPP[:, :num, num] = kernel_MM[others_N][:, picks]
    joint_NPP[:, num, num] = np.diagonal(kernel_MM)[others_N]
    return joint_NPP
