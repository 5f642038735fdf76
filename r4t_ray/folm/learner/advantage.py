"""Advantages from rewards: eq. 6 of arXiv 2603.06397."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

AdvantageFn = Callable[[Tensor], Tensor]
"""``reward_QG -> advantage_QG`` for Q queries with G samples each. A sample without reward is NaN and gets 0."""

EPSILON = 1e-4


def group_advantage(reward_QG: Tensor) -> Tensor:
    """Rewards standardised in each group: ``(r - mean) / (std + EPSILON)``, eq. 6.

    ``std`` is the sample standard deviation (divisor: number of rewards - 1). Samples without a reward (NaN) do not
    enter mean and std. Their advantage is 0. All advantages of a group are 0 if its rewards are equal (up to rounding),
    or if it has only one reward.

    Args:
        reward_QG: Rewards of Q queries with G samples each; NaN marks a sample without a reward.

    Returns:
        ``advantage_QG``.
    """
    mean_Q1 = reward_QG.nanmean(dim=1, keepdim=True)
    variance_Q1 = ((reward_QG - mean_Q1) ** 2).nanmean(dim=1, keepdim=True)
    count_Q1 = (~reward_QG.isnan()).sum(dim=1, keepdim=True)
    bessel_Q1 = torch.where(count_Q1 > 1, count_Q1 / (count_Q1 - 1), torch.nan)
    advantage_QG = (reward_QG - mean_Q1) / ((variance_Q1 * bessel_Q1).sqrt() + EPSILON)
    return advantage_QG.nan_to_num(nan=0.0)
