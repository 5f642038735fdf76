"""Rewards that settings add, by hand, and the errors about wrong settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from r4t_ray.config import parse_settings
from r4t_ray.errors import ConfigError, RewardError
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.rewards import Answers, PoolEntry, RewardFn, Rubric, WeightedReward, build_added
from r4t_ray.types import Array
from tests.rewards.batches import answers_of_rows

WHERE = "tests.rewards.test_added"


class Longest:
    """A user's reward: the length of the longest sub-query in characters, divided by ``unit``."""

    def __init__(self, unit: float = 10.0) -> None:
        self.unit = unit

    def __call__(self, answers: Answers) -> dict[str, Array]:
        longest = [max(map(len, texts or ("",))) / self.unit for texts in answers.sub_queries]
        return {"reward": np.array(longest), "words": np.array([len(texts or ()) for texts in answers.sub_queries])}


class Scalar:
    """A user's reward that wrongly returns one number for the whole batch."""

    def __call__(self, answers: Answers) -> Any:
        return {"reward": np.float32(1.0)}


class Silent:
    """A user's reward that grades no answer."""

    def __call__(self, answers: Answers) -> dict[str, Array]:
        return {"reward": np.full(len(answers.queries), np.nan)}


@pytest.fixture
def answers() -> Answers:
    """Three answers: three tops, a shoe and row 5 (without a category); one shoe found three times; no direction."""
    kinds: list[dict[str, Any]] = [{"category": "top"}] * 3 + [{"category": "shoe"}, {"price": 4}, {}]
    pool = [PoolEntry(text=f"item {row}", attributes=kind) for row, kind in enumerate(kinds)]
    sub_queries = [("a", "b", "c", "d", "e"), ("red", "Red", "red"), None]
    return answers_of_rows([[2, 1, 0, 3, 5], [3, 3, 3, -1, -1], [-1] * 5], sub_queries, pool)


def built(task_rewards: list[dict[str, Any]]) -> list[Any]:
    config = parse_settings(FolmConfig, {"added_rewards": {"wscr": task_rewards}}, "folm")
    again = FolmConfig.model_validate(config.model_dump())
    assert again == config
    return build_added(again.added_rewards["wscr"], 1.0)


def test_a_constraint_subtracts_the_share_of_excess_items(answers: Answers) -> None:
    (each,) = built([{"type": "constraint", "attribute": "category", "max_per_value": 1}])
    assert each.reward(answers)["reward"].tolist() == pytest.approx([-2 / 5, 0.0, 0.0])
    (each,) = built([{"type": "constraint", "attribute": "category", "max_per_value": 2}])
    assert each.reward(answers)["reward"].tolist() == pytest.approx([-1 / 5, 0.0, 0.0])
    assert each.reward(answers)["keeps_rule"].tolist() == [0.0, 1.0, 1.0]


def test_a_constraint_on_an_unknown_attribute_lists_the_known_attributes(answers: Answers) -> None:
    (each,) = built([{"type": "constraint", "attribute": "colour", "max_per_value": 1}])
    with pytest.raises(ConfigError, match=r"'colour'.*category, price"):
        each.reward(answers)


def test_format_is_the_share_of_k_sub_queries_that_differ(answers: Answers) -> None:
    (each,) = built([{"type": "format"}])
    assert each.reward(answers)["reward"].tolist() == pytest.approx([1.0, 1 / 5, 0.0])


def with_own(own: list[float], added: list[WeightedReward]) -> Rubric:
    """A rubric of coverage with the given values and of added rewards."""
    coverage = WeightedReward(reward=lambda answers: {"coverage": np.array(own, np.float32)}, weights={"coverage": 1.0})
    return Rubric(rewards=[coverage, *added])


def test_added_rewards_are_weighted_and_logged_under_their_names(answers: Answers) -> None:
    added = built([{"type": "format", "weight": 2.0}, {"type": f"{WHERE}:Longest", "options": {"unit": 1.0}}])
    output = with_own([0.5, 0.5, 0.0], added).score(answers)
    assert output.total_B.tolist() == pytest.approx([0.5 + 2.0 + 1.0, 0.5 + 0.4 + 3.0, 0.0])
    assert sorted(output.breakdown) == ["Longest", "Longest_words", "coverage", "format"]
    assert output.breakdown["Longest_words"].tolist() == [5.0, 3.0, 0.0]
    assert output.breakdown["coverage"].tolist() == [0.5, 0.5, 0.0]


def test_two_rewards_of_one_type_get_different_names(answers: Answers) -> None:
    added = built([{"type": "constraint", "attribute": "category", "max_per_value": n} for n in (1, 2)])
    assert [each.name for each in added] == ["constraint_0", "constraint_1"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"{WHERE}:Missing", "Missing"),
        ("no_such_module:Reward", "no_such_module"),
        (f"{WHERE}:Longest.inner", "inner"),
    ],
)
def test_a_reward_that_cannot_be_built_raises_config_error(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        built([{"type": name}])


def test_wrong_options_raise_config_error() -> None:
    with pytest.raises(ConfigError, match="inches"):
        built([{"type": f"{WHERE}:Longest", "options": {"inches": 1}}])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"type": "judgement"}, "judgement"),
        ({}, "rewards.wscr.0"),
        ({"type": "constraint", "attribute": "category"}, "max_per_value"),
        ({"type": "format", "weigth": 1}, "weigth"),
        ("format", "rewards.wscr.0"),
        (None, "rewards.wscr.0"),
    ],
)
def test_wrong_settings_are_named(wrong: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        built([wrong])


@pytest.mark.parametrize(("reward", "says"), [("Scalar", r"shapes.*\(3,\)"), ("Silent", "no grade for any of 3")])
def test_a_reward_without_one_number_for_each_answer_is_refused(reward: str, says: str, answers: Answers) -> None:
    with pytest.raises(RewardError, match=says):
        with_own([0.0, 0.0, 0.0], built([{"type": f"{WHERE}:{reward}"}])).score(answers)


def test_a_users_class_is_a_reward_function() -> None:
    reward: RewardFn = Longest()
    assert callable(reward)
