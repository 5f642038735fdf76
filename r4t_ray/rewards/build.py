"""From settings to the rubric of a task, and the list of rewards that settings can add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from r4t_ray.rewards.constraint import ConstraintConfig
from r4t_ray.rewards.coverage import CoverageConfig, ExpectedCoverage, ExpectedItems, coverage_components
from r4t_ray.rewards.custom import CustomConfig
from r4t_ray.rewards.format import FormatConfig
from r4t_ray.rewards.judge import JudgeConfig
from r4t_ray.rewards.oar import OARConfig, oar_components
from r4t_ray.rewards.rubric import RewardFn, Rubric, WeightedReward


def _kind(value: Any) -> str:
    name = str(value.get("type", "")) if isinstance(value, dict) else value.type
    return "module:Class" if ":" in name else name


AddedRewardConfig = Annotated[
    Annotated[FormatConfig, Tag("format")]
    | Annotated[ConstraintConfig, Tag("constraint")]
    | Annotated[JudgeConfig, Tag("judge")]
    | Annotated[CustomConfig, Tag("module:Class")],
    Discriminator(_kind),
]
"""The settings of one added reward, told apart by ``type``. A new reward is one more line here."""


def oar_rubric(config: OARConfig, logged: Sequence[RewardFn] = (), added: Sequence[WeightedReward] = ()) -> Rubric:
    """Eq. 1 of arXiv 2603.06397, then the added rewards; ``logged`` are measured and do not count."""
    own = WeightedReward(reward=oar_components, weights=config.weights)
    return Rubric(rewards=[own, *map(_log, logged), *added])


def wscr_rubric(
    config: CoverageConfig,
    expected_items: ExpectedItems | None,
    logged: Sequence[RewardFn] = (),
    added: Sequence[WeightedReward] = (),
) -> Rubric:
    """Eq. 5, blended with expected coverage where settings give it a share; the components of eq. 1 are logged.

    Expected coverage takes the whole weight where a query has no reference.

    Args:
        config: The share of expected coverage.
        expected_items: Needed where that share is above 0.
        logged: Measured and not counted.
        added: Added to the task's own reward.
    """
    weights = config.weights
    rewards = [_log(oar_components), WeightedReward(reward=coverage_components, weights=weights)]
    if "expected" in weights:
        assert expected_items is not None
        rewards.append(WeightedReward(reward=ExpectedCoverage(expected_items=expected_items), weights=weights))
    stand_ins = {"coverage": "expected"} if "expected" in weights else {}
    return Rubric(rewards=[*rewards, *map(_log, logged), *added], stand_ins=stand_ins)


def build_added(configs: Sequence[AddedRewardConfig], share: float) -> list[WeightedReward]:
    """The added rewards of one rollout actor, which may use ``share`` of the budgets that settings give to all actors.

    Raises:
        ConfigError: One of them cannot be built here.
    """
    names = [config.type.rpartition(":")[2] for config in configs]
    return [
        WeightedReward(
            name=name if names.count(name) == 1 else f"{name}_{place}",
            reward=config.build(share),
            weights={"reward": config.weight},
        )
        for place, (name, config) in enumerate(zip(names, configs, strict=True))
    ]


def _log(reward: RewardFn) -> WeightedReward:
    return WeightedReward(reward=reward, weights={})
