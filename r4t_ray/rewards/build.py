"""Builds the rubric of a task from settings, and lists the rewards that settings can add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from r4t_ray.rewards.answers import Answers
from r4t_ray.rewards.back_translation import (
    AddedBackTranslationConfig,
    BackTranslationConfig,
    BackTranslationReward,
)
from r4t_ray.rewards.constraint import ConstraintConfig
from r4t_ray.rewards.coverage import CoverageConfig, ExpectedCoverage, ExpectedItems, coverage_components
from r4t_ray.rewards.custom import CustomConfig
from r4t_ray.rewards.format import FormatConfig
from r4t_ray.rewards.judge import JudgeConfig
from r4t_ray.rewards.oar import OARConfig, oar_components
from r4t_ray.rewards.rubric import RewardFn, Rubric, WeightedReward
from r4t_ray.rewards.specific import SpecificConfig, SpecificReward
from r4t_ray.types import Array


def _kind(value: Any) -> str:
    name = str(value.get("type", "") if isinstance(value, dict) else getattr(value, "type", ""))
    return "module:Class" if ":" in name else name


AddedRewardConfig = Annotated[
    Annotated[FormatConfig, Tag("format")]
    | Annotated[ConstraintConfig, Tag("constraint")]
    | Annotated[JudgeConfig, Tag("judge")]
    | Annotated[AddedBackTranslationConfig, Tag("back_translation")]
    | Annotated[CustomConfig, Tag("module:Class")],
    Discriminator(_kind),
]
"""The settings of one added reward, distinguished by ``type``. A new reward needs one more line here."""


OARRewardConfig = Annotated[SpecificConfig | OARConfig | BackTranslationConfig, Field(discriminator="type")]
"""The settings of the task's own reward in open-ended abstract retrieval (OAR), distinguished by ``type``."""


def oar_rubric(
    own: OARConfig | SpecificReward | BackTranslationReward,
    logged: Sequence[RewardFn] = (),
    added: Sequence[WeightedReward] = (),
) -> Rubric:
    """The rubric of open-ended abstract retrieval (OAR): the task's own reward, then the added rewards.

    Args:
        own: The reward that is about the query, back-translation, or the weights of eq. 1 of arXiv 2603.06397.
        logged: Rewards that are computed and logged, but have no weight.
        added: Rewards that are added to the task's own reward.
    """
    if isinstance(own, SpecificReward):
        weighted = WeightedReward(reward=own, weights={"specific": 1.0})
    elif isinstance(own, BackTranslationReward):
        weighted = WeightedReward(reward=_with_prefix(own), weights={"back_translation": 1.0})
    else:
        weighted = WeightedReward(reward=oar_components, weights=own.weights)
    return Rubric(rewards=[weighted, *map(_log, logged), *added])


def weights_of_eq_1(config: OARRewardConfig) -> OARConfig:
    """The weights of the measure ``oar_reward``: the run's, if it was trained on eq. 1, else the paper's."""
    return config if isinstance(config, OARConfig) else OARConfig()


def wscr_rubric(
    config: CoverageConfig,
    expected_items: ExpectedItems | None,
    logged: Sequence[RewardFn] = (),
    added: Sequence[WeightedReward] = (),
) -> Rubric:
    """The rubric of weakly supervised compositional retrieval (WSCR): eq. 5, mixed with expected coverage.

    If a query has no reference, expected coverage takes the weight of both. The components of eq. 1 are logged.

    Args:
        config: The share of expected coverage.
        expected_items: Required if the share is above 0.
        logged: Rewards that are computed and logged, but have no weight.
        added: Rewards that are added to the task's own reward.
    """
    weights = config.weights
    rewards = [_log(oar_components), WeightedReward(reward=coverage_components, weights=weights)]
    if "expected" in weights:
        assert expected_items is not None
        rewards.append(WeightedReward(reward=ExpectedCoverage(expected_items=expected_items), weights=weights))
    stand_ins = {"coverage": "expected"} if "expected" in weights else {}
    return Rubric(rewards=[*rewards, *map(_log, logged), *added], stand_ins=stand_ins)


def build_added(
    configs: Sequence[AddedRewardConfig],
    share: float,
    back_translation: Callable[[BackTranslationConfig], BackTranslationReward] | None = None,
) -> list[WeightedReward]:
    """The added rewards of one rollout actor.

    Args:
        configs: Their settings.
        share: The actor may use this share of each budget that all actors have together.
        back_translation: Opens the reward that needs a language model in torch, which this package does not import.
            None if the settings do not name that reward.

    Raises:
        ConfigError: A reward cannot be built in this process.
    """
    names = [config.type.rpartition(":")[2] for config in configs]
    return [
        WeightedReward(
            name=name if names.count(name) == 1 else f"{name}_{place}",
            reward=_opened(config, share, back_translation),
            weights={"reward": config.weight},
        )
        for place, (name, config) in enumerate(zip(names, configs, strict=True))
    ]


def _opened(
    config: AddedRewardConfig,
    share: float,
    back_translation: Callable[[BackTranslationConfig], BackTranslationReward] | None,
) -> RewardFn:
    if isinstance(config, AddedBackTranslationConfig):
        assert back_translation is not None
        return back_translation(config)
    return config.build(share)


def _with_prefix(reward: BackTranslationReward) -> RewardFn:
    """The components under the names that the same reward has as an added one."""

    def named(answers: Answers) -> dict[str, Array]:
        parts = reward(answers)
        return {"back_translation": parts.pop("reward"), **{f"back_translation_{name}": parts[name] for name in parts}}

    return named


def _log(reward: RewardFn) -> WeightedReward:
    return WeightedReward(reward=reward, weights={})
