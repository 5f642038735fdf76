"""Rewards that settings add to a task's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Tag

from r4t_ray.errors import RewardError
from r4t_ray.rewards.answers import Answers, SetReward
from r4t_ray.rewards.constraint import ConstraintConfig
from r4t_ray.rewards.custom import CustomConfig
from r4t_ray.rewards.format import FormatConfig
from r4t_ray.rewards.judge import JudgeConfig
from r4t_ray.types import Array


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
"""The settings of one added reward, told apart by ``type``."""


@dataclass(frozen=True)
class AddedReward:
    """A reward with its weight and the name that its components are logged under."""

    name: str
    weight: float
    reward: SetReward


def build_added(configs: Sequence[AddedRewardConfig], share: float) -> list[AddedReward]:
    """The rewards of one rollout actor, which has ``share`` of what the settings allow to all of them.

    Raises:
        ConfigError: One of them cannot be made here.
    """
    names = [config.type.rpartition(":")[2] for config in configs]
    return [
        AddedReward(name if names.count(name) == 1 else f"{name}_{place}", config.weight, config.build(share))
        for place, (name, config) in enumerate(zip(names, configs, strict=True))
    ]


def add_rewards(parts: dict[str, Array], added: Sequence[AddedReward], answers: Answers) -> dict[str, Array]:
    """``parts`` with the weighted rewards added to its "reward" and all their components beside it.

    Raises:
        RewardError: No answer of the batch could be scored by all of them.
    """
    parts = dict(parts)
    for each in added:
        for name, values_B in each.reward(answers).items():
            if name == "reward":
                parts["reward"] = parts["reward"] + each.weight * values_B
            parts[each.name if name == "reward" else f"{each.name}_{name}"] = values_B
    if answers.queries and np.isnan(parts["reward"]).all():
        missing = {each.name: int(np.isnan(parts[each.name]).sum()) for each in added}
        logged = {name: float(np.nansum(parts[name])) for name in parts if name.startswith(tuple(missing))}
        raise RewardError(
            f"folm.rewards: {', '.join(name for name, count in missing.items() if count)}",
            f"no grade for any of {len(answers.queries)} answers (without one: {missing}, sums: {logged})",
            "a grade for some",
            "see that the service of each answers and that its budget is not spent",
        )
    return parts
