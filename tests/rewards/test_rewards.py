"""Rewards against values computed by hand (eqs. 1 to 5 of arXiv 2603.06397)."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from r4t_ray.rewards import (
    OARConfig,
    ScoredFanOut,
    coverage_rewards,
    expected_coverage,
    oar_reward,
    oar_rewards,
)


@pytest.fixture
def scored() -> ScoredFanOut:
    """Fan-out 0: two directions, on two orthogonal items, cosines 1 and 0 to the query. Fan-out 1: nothing."""
    nan = np.nan
    return ScoredFanOut(
        query_emb_BD=np.array([[1, 0], [1, 0]], np.float32),
        sub_emb_BkD=np.array([[[1, 0], [0, 1]], [[0, 0], [0, 0]]], np.float32),
        nearest_cos_Bk=np.array([[1, 0.5], [nan, nan]], np.float32),
        nearest_emb_BkD=np.array([[[1, 0], [0, 1]], [[0, 0], [0, 0]]], np.float32),
        hit_rows_BkK=np.array([[[0, 3], [1, 3]], [[-1, -1], [-1, -1]]]),
    )


def test_oar_reward_is_the_weighted_sum_of_eq_1() -> None:
    one = np.array([0.5], np.float32)
    assert abs(oar_reward(one, 2 * one, -one, OARConfig())[0] - (0.6 * 0.5 + 0.2 * 1.0 - 0.2 * 0.5)) < 1e-6


def test_oar_components_by_hand(scored: ScoredFanOut) -> None:
    parts = oar_rewards(scored, OARConfig())
    # Distances 0 and 1: groundedness 0.5. Two orthogonal items: Vendi 2, over k = 2. Cosines 1 and 0: alignment 0.5.
    expected = {"groundedness": 0.5, "vendi": 1.0, "alignment": 0.5, "reward": 0.3 + 0.2 + 0.1}
    for name, value in expected.items():
        assert abs(parts[name][0] - value) < 1e-6, name


def test_a_fan_out_without_directions_is_worth_nothing(scored: ScoredFanOut) -> None:
    assert {name: float(values[1]) for name, values in oar_rewards(scored, OARConfig()).items()} == {
        "groundedness": 0.0,
        "vendi": 0.0,
        "alignment": 0.0,
        "reward": 0.0,
    }


def test_coverage_is_eq_5_over_the_union_of_hits(scored: ScoredFanOut) -> None:
    parts = coverage_rewards(scored, [{1, 3, 7, 8}, {0}])
    assert parts["reward"].tolist() == [0.5, 0.0]


def test_expected_coverage_is_the_share_of_the_score_that_the_union_of_hits_holds(scored: ScoredFanOut) -> None:
    hits = set(scored.hit_rows_BkK[0].ravel().tolist()) - {-1}
    score_BM = np.zeros((2, 10), np.float32)
    score_BM[0, [1, 3, 7, 8]] = [4.0, 2.0, 1.0, 1.0]
    covered = sum({1: 4.0, 3: 2.0, 7: 1.0, 8: 1.0}.get(row, 0.0) for row in hits)
    assert hits & {1, 3}
    assert expected_coverage(scored, score_BM).tolist() == [covered / 8.0, 0.0]


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValidationError, match="w_div"):
        OARConfig(w_div=-0.1)
