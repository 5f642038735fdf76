"""Greedy maximisation of the reward that is about the query (``rewards.specific``), over given candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.measures import vendi_of_kernels
from r4t_ray.types import Array, Rows

KERNELS_A_BLOCK = 16_384
SPREAD = 2.0
"""Most that varied answers differ from the settings, as a factor: in gamma, and in their number of candidates."""


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
    emb_MD = candidate_emb_MD.astype(np.float64)
    cos_PM = np.empty((0, len(emb_MD)))
    picks: list[int] = []
    left_M = np.arange(len(nearness_M))
    while len(picks) < k and len(left_M):
        div_M = vendi_with_each(cos_PM, picks, left_M, k)
        reward_M = (nearness_M[picks].sum() + nearness_M[left_M]) / k * div_M**gamma
        best = int(np.argmax(reward_M))
        picks.append(int(left_M[best]))
        cos_PM = np.vstack([cos_PM, emb_MD @ emb_MD[picks[-1]]])
        left_M = np.delete(left_M, best)
    return np.array(picks, dtype=np.int64)


def vendi_with_each(cos_PM: NDArray[np.float64], picks: Sequence[int], others_N: Rows, k: int) -> Array:
    """Vendi / k of the P picks and one other each, with k - P - 1 missing directions; (N,).

    Blocks of others bound the memory for large pools.
    """
    missing = 1.0 - (len(picks) + 1) / k
    blocks = [others_N[start : start + KERNELS_A_BLOCK] for start in range(0, len(others_N), KERNELS_A_BLOCK)]
    return np.concatenate(
        [vendi_of_kernels(kernels_with_each(cos_PM, picks, each) / k, missing) / k for each in blocks]
    )


def kernels_with_each(cos_PM: NDArray[np.float64], picks: Sequence[int], others_N: Rows) -> NDArray[np.float64]:
    """Kernels of the P picks and one other each, shape (N, P + 1, P + 1).

    Args:
        cos_PM: Cosines of the picks with all M unit rows.
        picks: Rows of the picks.
        others_N: Rows of the others.
    """
    num = len(picks)
    joint_NPP = np.ones((len(others_N), num + 1, num + 1))
    joint_NPP[:, :num, :num] = cos_PM[:, picks]
    joint_NPP[:, num, :num] = joint_NPP[:, :num, num] = cos_PM[:, others_N].T
    return joint_NPP
