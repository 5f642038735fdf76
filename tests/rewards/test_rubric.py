"""The rubric: its weighted sum and diagnostics by hand, and the properties of every reward function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from r4t_ray.errors import RewardError
from r4t_ray.rewards import (
    Answers,
    OARConfig,
    RewardFn,
    RewardOutput,
    Rubric,
    SpecificConfig,
    SpecificReward,
    WeightedReward,
)
from r4t_ray.rewards.build import build_added, oar_rubric, wscr_rubric
from r4t_ray.rewards.constraint import ConstraintConfig
from r4t_ray.rewards.coverage import CoverageConfig, ExpectedCoverage, coverage_components
from r4t_ray.rewards.format import FormatConfig
from r4t_ray.rewards.oar import oar_components
from r4t_ray.rewards.rubric import weighted_sum
from r4t_ray.types import Array
from tests.rewards.batches import picked, random_answers

ADDED = [
    FormatConfig(type="format", weight=0.3),
    ConstraintConfig(type="constraint", attribute="category", max_per_value=1),
]


def expected_items(query_ids: list[str], query_emb_QD: Array) -> Array:
    """Scores of 20 items, different for each query."""
    return np.abs(query_emb_QD[:, :1] + np.linspace(0, 1, 20, dtype=np.float32)[None])


REWARDS: dict[str, RewardFn] = {
    "oar": oar_components,
    "specific": SpecificReward(
        config=SpecificConfig(max_cosine=1.0), train_ids=["q0", "q9"], train_emb_ND=np.eye(5, dtype=np.float32)[:2]
    ),
    "coverage": coverage_components,
    "expected coverage": ExpectedCoverage(expected_items=expected_items),
    **{each.type: each.build(1.0) for each in ADDED},
}


def constant(values: list[float]) -> RewardFn:
    return lambda answers: {"reward": np.array(values, np.float32), "tries": np.full(len(values), np.nan)}


@pytest.mark.parametrize("name", REWARDS)
def test_components_follow_the_order_of_the_answers_and_stay_in_range(name: str) -> None:
    answers = random_answers(seed=3)
    places = np.random.default_rng(0).permutation(len(answers.queries))
    parts, shuffled = REWARDS[name](answers), REWARDS[name](picked(answers, places.tolist()))
    for component, values_B in parts.items():
        assert values_B.shape == (len(places),)
        assert np.nanmin(values_B) >= -1
        assert np.nanmax(values_B) <= 1 + 1e-5
        assert np.allclose(values_B[places], shuffled[component], atol=1e-6, equal_nan=True), component


def test_the_total_of_oar_is_eq_1_plus_the_added_rewards() -> None:
    answers = random_answers(seed=1)
    output = oar_rubric(OARConfig(w_ground=0.5, w_div=0.3, w_align=0.2), added=build_added(ADDED, 1.0)).score(answers)
    parts = output.breakdown
    assert list(parts) == ["groundedness", "vendi", "alignment", "format", "constraint", "constraint_keeps_rule"]
    by_hand = 0.5 * parts["groundedness"] + 0.3 * parts["vendi"] + 0.2 * parts["alignment"]
    by_hand = by_hand + 0.3 * parts["format"] + 1.0 * parts["constraint"]
    assert output.total_B.dtype == np.float32
    assert output.total_B.tolist() == by_hand.tolist()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.75, 1.0])
def test_expected_coverage_has_its_share_or_the_whole_weight_without_a_reference(share: float) -> None:
    answers = random_answers(seed=2)
    output = wscr_rubric(CoverageConfig(expected_share=share), expected_items, added=build_added(ADDED, 1.0)).score(
        answers
    )
    parts = output.breakdown
    share_B = np.where(np.isnan(parts["coverage"]), 1.0, share)
    assert set(share_B.tolist()) == {1.0, share}
    by_hand = (1 - share_B) * np.nan_to_num(parts["coverage"]) + share_B * parts["expected"]
    by_hand = by_hand + 0.3 * parts["format"] + 1.0 * parts["constraint"]
    assert output.total_B.tolist() == by_hand.tolist()


def test_without_an_expected_share_coverage_is_the_reward_and_eq_1_is_logged() -> None:
    answers = random_answers(seed=2)
    output = wscr_rubric(CoverageConfig(), None).score(answers)
    assert list(output.breakdown) == ["groundedness", "vendi", "alignment", "coverage"]
    assert np.array_equal(output.total_B, output.breakdown["coverage"], equal_nan=True)
    assert np.isnan(output.total_B).any()


def test_components_without_a_weight_are_only_logged() -> None:
    answers = picked(random_answers(seed=0), [0, 1])
    rewards = [
        WeightedReward(name="a", reward=constant([1.0, 2.0]), weights={"reward": 2.0}),
        WeightedReward(name="b", reward=constant([5.0, 6.0]), weights={}),
    ]
    output = Rubric(rewards=rewards).score(answers)
    assert output.total_B.tolist() == [2.0, 4.0]
    assert list(output.breakdown) == ["a", "a_tries", "b", "b_tries"]


def test_the_order_of_the_sum_is_the_order_of_the_rewards() -> None:
    parts: Any = {"a": np.float32([1e8]), "b": np.float32([1.0]), "c": np.float32([-1e8])}
    assert weighted_sum(parts, {"a": 1.0, "b": 1.0, "c": 1.0}).tolist() == [0.0]
    assert weighted_sum(parts, {"a": 1.0, "c": 1.0, "b": 1.0}).tolist() == [1.0]


def test_diagnostics_by_hand() -> None:
    output = RewardOutput(
        total_B=np.array([1.0, 3.0, np.nan, 5.0, np.nan, np.nan]),
        breakdown={
            "coverage": np.array([0.0, 0.5, np.nan, np.nan, np.nan, np.nan]),
            "vendi": np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0]),
            "calls": np.full(6, np.nan),
        },
        groups=["p", "p", "q", "q", "r", "r"],
    )
    spread = output.diagnostics
    # Group p has 1 and 3, group q has only 5, group r has none: standard deviations 1, 0 and 0.
    assert spread.std == pytest.approx(1 / 3)
    assert spread.mean == 3.0
    assert (spread.num_dropped, spread.num_degenerate) == (3, 2)
    # Only group p has values of coverage. The standard deviations of vendi are 0, 0.5 and 0.
    assert spread.component_std == pytest.approx({"coverage": 0.25, "vendi": 0.5 / 3})


def test_a_batch_in_which_no_answer_has_every_grade_is_refused() -> None:
    answers, nan = picked(random_answers(seed=0), [0, 1, 2]), np.nan
    half = WeightedReward(name="half", reward=constant([nan, 1.0, 1.0]), weights={"reward": 1.0})
    rest = WeightedReward(name="rest", reward=constant([1.0, nan, nan]), weights={"reward": 1.0})
    with pytest.raises(RewardError, match=r"half, rest: .*'half': 1, 'rest': 2"):
        Rubric(rewards=[half, rest]).score(answers)
    assert np.isnan(Rubric(rewards=[half]).score(answers).total_B).tolist() == [True, False, False]


def test_answers_without_a_reference_raise_no_error() -> None:
    answers: Answers = picked(random_answers(seed=0), [8, 9])
    assert np.isnan(wscr_rubric(CoverageConfig(), None).score(answers).total_B).all()
