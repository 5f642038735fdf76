"""Rewards that settings add, by hand, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from r4t_ray.config import parse_settings
from r4t_ray.errors import ConfigError, RewardError
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.rewards import AddedReward, Answers, PoolEntry, ScoredFanOut, SetReward, add_rewards, build_added
from r4t_ray.types import Array

WHERE = "tests.rewards.test_added"


class Longest:
    """A user's own reward: the longest sub-query, in tenths of a character."""

    def __init__(self, unit: float = 10.0) -> None:
        self.unit = unit

    def __call__(self, answers: Answers) -> dict[str, Array]:
        longest = [max(map(len, texts or ("",))) / self.unit for texts in answers.sub_queries]
        return {"reward": np.array(longest), "words": np.array([len(texts or ()) for texts in answers.sub_queries])}


class Scalar:
    """A user's own reward that gives one number for the whole batch."""

    def __call__(self, answers: Answers) -> Any:
        return {"reward": np.float32(1.0)}


class Silent:
    """A user's own reward that has no grade for any answer."""

    def __call__(self, answers: Answers) -> dict[str, Array]:
        return {"reward": np.full(len(answers.queries), np.nan)}


def make_answers(
    top_rows: list[list[int]], sub_queries: list[tuple[str, ...] | None], pool: list[PoolEntry]
) -> Answers:
    num, k = len(top_rows), len(top_rows[0])
    zeros = np.zeros((num, k, 2), np.float32)
    rows = np.array(top_rows)[:, :, None]
    scored = ScoredFanOut(np.zeros((num, 2), np.float32), zeros, np.zeros((num, k), np.float32), zeros, rows)
    return Answers(["a wish"] * num, sub_queries, scored, pool)


@pytest.fixture
def answers() -> Answers:
    """Five directions each: three tops, a shoe, and row 5, which has no category; then one thing; then nothing."""
    kinds: list[dict[str, Any]] = [{"category": "top"}] * 3 + [{"category": "shoe"}, {"price": 4}, {}]
    pool = [PoolEntry(f"item {row}", kind) for row, kind in enumerate(kinds)]
    sub_queries = [("a", "b", "c", "d", "e"), ("red", "Red", "red"), None]
    return make_answers([[2, 1, 0, 3, 5], [3, 3, 3, -1, -1], [-1] * 5], sub_queries, pool)


def built(task_rewards: list[dict[str, Any]]) -> list[Any]:
    config = parse_settings(FolmConfig, {"added_rewards": {"wscr": task_rewards}}, "folm")
    again = FolmConfig.model_validate(config.model_dump())
    assert again == config
    return build_added(again.added_rewards["wscr"], 1.0)


def test_a_constraint_takes_off_the_share_of_the_set_that_is_too_many(answers: Answers) -> None:
    (each,) = built([{"type": "constraint", "attribute": "category", "max_per_value": 1}])
    assert each.reward(answers)["reward"].tolist() == pytest.approx([-2 / 5, 0.0, 0.0])
    (each,) = built([{"type": "constraint", "attribute": "category", "max_per_value": 2}])
    assert each.reward(answers)["reward"].tolist() == pytest.approx([-1 / 5, 0.0, 0.0])


def test_a_constraint_on_an_attribute_that_nothing_has_says_which_there_are(answers: Answers) -> None:
    (each,) = built([{"type": "constraint", "attribute": "colour", "max_per_value": 1}])
    with pytest.raises(ConfigError, match=r"'colour'.*category, price"):
        each.reward(answers)


def test_form_is_the_share_of_k_sub_queries_that_differ(answers: Answers) -> None:
    (each,) = built([{"type": "format"}])
    assert each.reward(answers)["reward"].tolist() == pytest.approx([1.0, 1 / 5, 0.0])


def test_added_rewards_are_weighted_and_logged_under_their_names(answers: Answers) -> None:
    added = built([{"type": "format", "weight": 2.0}, {"type": f"{WHERE}:Longest", "options": {"unit": 1.0}}])
    own = {"coverage": np.array([0.5, 0.5, 0.0], np.float32), "reward": np.array([0.5, 0.5, 0.0], np.float32)}
    parts = add_rewards(own, added, answers)
    assert parts["reward"].tolist() == pytest.approx([0.5 + 2.0 + 1.0, 0.5 + 0.4 + 3.0, 0.0])
    assert sorted(parts) == ["Longest", "Longest_words", "coverage", "format", "reward"]
    assert parts["Longest_words"].tolist() == [5.0, 3.0, 0.0]
    assert own["reward"].tolist() == [0.5, 0.5, 0.0]


def test_two_rewards_of_a_kind_keep_their_figures_apart(answers: Answers) -> None:
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
def test_a_reward_that_cannot_be_made_is_a_config_error(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        built([{"type": name}])


def test_wrong_options_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="inches"):
        built([{"type": f"{WHERE}:Longest", "options": {"inches": 1}}])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"type": "judgement"}, "judgement"),
        ({}, "rewards.wscr.0"),
        ({"type": "constraint", "attribute": "category"}, "max_per_value"),
        ({"type": "format", "weigth": 1}, "weigth"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        built([wrong])


@pytest.mark.parametrize(("reward", "says"), [("Scalar", r"shapes.*\(3,\)"), ("Silent", "no grade for any of 3")])
def test_a_reward_without_one_number_an_answer_is_refused(reward: str, says: str, answers: Answers) -> None:
    own = {"reward": np.zeros(3, np.float32)}
    with pytest.raises(RewardError, match=says):
        add_rewards(own, built([{"type": f"{WHERE}:{reward}"}]), answers)


def test_a_batch_in_which_no_answer_has_every_grade_is_refused(answers: Answers) -> None:
    class Half:
        def __init__(self, kept: int) -> None:
            self.kept = kept

        def __call__(self, answers: Answers) -> dict[str, Array]:
            return {"reward": np.where(np.arange(3) < self.kept, np.nan, 1.0), "tries": np.full(3, np.nan)}

    class Rest(Half):
        def __call__(self, answers: Answers) -> dict[str, Array]:
            return {"reward": np.where(np.arange(3) < self.kept, 1.0, np.nan)}

    own = {"reward": np.zeros(3, np.float32)}
    halves = [AddedReward("half", 1.0, Half(1)), AddedReward("rest", 1.0, Rest(1))]
    with pytest.raises(RewardError, match=r"half, rest: .*'half': 1, 'rest': 2"):
        add_rewards(own, halves, answers)
    assert np.isnan(add_rewards(own, halves[:1], answers)["reward"]).tolist() == [True, False, False]


def test_a_users_class_is_a_set_reward() -> None:
    reward: SetReward = Longest()
    assert callable(reward)
