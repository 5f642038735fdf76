"""Rewards against values computed by hand (eqs. 1 to 5 of arXiv 2603.06397)."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from r4t_ray.rewards import OARConfig, Retrieved, oar_reward, oar_rubric
from r4t_ray.rewards.coverage import coverage_components, expected_coverage
from tests.rewards.batches import answers_of


@pytest.fixture
def retrieved() -> Retrieved:
    """Answer 0: two directions near two orthogonal items, with cosines 1 and 0 to the query. Answer 1: no direction."""
    nan = np.nan
    return Retrieved(
        query_emb_BD=np.array([[1, 0], [1, 0]], np.float32),
        sub_emb_BkD=np.array([[[1, 0], [0, 1]], [[0, 0], [0, 0]]], np.float32),
        nearest_cos_Bk=np.array([[1, 0.5], [nan, nan]], np.float32),
        nearest_emb_BkD=np.array([[[1, 0], [0, 1]], [[0, 0], [0, 0]]], np.float32),
        hit_rows_BkK=np.array([[[0, 3], [1, 3]], [[-1, -1], [-1, -1]]]),
    )


def test_oar_reward_is_the_weighted_sum_of_eq_1() -> None:
    one = np.array([0.5], np.float32)
    assert abs(oar_reward(one, 2 * one, -one, OARConfig())[0] - (0.6 * 0.5 + 0.2 * 1.0 - 0.2 * 0.5)) < 1e-6


def test_oar_components_by_hand(retrieved: Retrieved) -> None:
    output = oar_rubric(OARConfig()).score(answers_of(retrieved))
    parts = {**output.breakdown, "reward": output.total_B}
    # Distances 0 and 1: groundedness 0.5. Two orthogonal items: Vendi 2, divided by k = 2. Cosines 1, 0: alignment 0.5.
    expected = {"groundedness": 0.5, "vendi": 1.0, "alignment": 0.5, "reward": 0.3 + 0.2 + 0.1}
    for name, value in expected.items():
        assert abs(parts[name][0] - value) < 1e-6, name


def test_an_answer_without_directions_gets_zero(retrieved: Retrieved) -> None:
    output = oar_rubric(OARConfig()).score(answers_of(retrieved))
    assert {name: float(values_B[1]) for name, values_B in output.breakdown.items()} == {
        "groundedness": 0.0,
        "vendi": 0.0,
        "alignment": 0.0,
    }
    assert output.total_B[1] == 0.0


def test_coverage_is_eq_5_over_the_union_of_hits(retrieved: Retrieved) -> None:
    parts = coverage_components(answers_of(retrieved, references=[{1, 3, 7, 8}, {0}]))
    assert parts["coverage"].tolist() == [0.5, 0.0]
    parts = coverage_components(answers_of(retrieved, references=[set(), {0}]))
    assert np.isnan(parts["coverage"]).tolist() == [True, False]


def test_expected_coverage_is_the_share_of_the_score_that_the_union_of_hits_holds(retrieved: Retrieved) -> None:
    hits = set(retrieved.hit_rows_BkK[0].ravel().tolist()) - {-1}
    score_BM = np.zeros((2, 10), np.float32)
    score_BM[0, [1, 3, 7, 8]] = [4.0, 2.0, 1.0, 1.0]
    covered = sum({1: 4.0, 3: 2.0, 7: 1.0, 8: 1.0}.get(row, 0.0) for row in hits)
    assert hits & {1, 3}
    assert expected_coverage(retrieved.hit_rows_BkK, score_BM).tolist() == [covered / 8.0, 0.0]


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValidationError, match="w_div"):
        OARConfig(w_div=-0.1)
