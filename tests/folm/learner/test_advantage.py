"""Eq. 6 of arXiv 2603.06397 by hand, and every registered advantage on its edges."""

from __future__ import annotations

import math

import pytest
import torch

from r4t_ray.folm.learner import ADVANTAGES, AdvantageFn
from r4t_ray.folm.learner.advantage import EPSILON, group_advantage

NAN = math.nan


def test_rewards_are_standardised_by_the_sample_standard_deviation_of_their_group() -> None:
    advantage_QG = group_advantage(torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.5]]))
    expected = torch.tensor([[-1.0, 0.0, 1.0], [-1.0, 1.0, 0.0]])
    scale_Q1 = torch.tensor([[1.0 / (1.0 + EPSILON)], [0.5 / (0.5 + EPSILON)]])
    torch.testing.assert_close(advantage_QG, expected * scale_Q1)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_sample_without_a_reward_changes_no_other_and_has_advantage_zero(name: str) -> None:
    advantage: AdvantageFn = ADVANTAGES[name]
    whole, holed = (advantage(torch.tensor([row])) for row in ([1.0, 0.25, 0.5], [1.0, NAN, 0.25, 0.5]))
    assert holed[0, 1] == 0
    assert torch.equal(holed[0, [0, 2, 3]], whole[0])


@pytest.mark.parametrize("name", ADVANTAGES)
@pytest.mark.parametrize("row", [[0.5, 0.5, 0.5], [NAN, 0.7, NAN], [NAN, NAN, NAN]])
def test_a_group_without_a_spread_of_rewards_has_advantage_zero(name: str, row: list[float]) -> None:
    assert ADVANTAGES[name](torch.tensor([row])).tolist() == [[0.0, 0.0, 0.0]]
