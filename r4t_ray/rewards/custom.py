"""A reward class of the user, named as ``module:Class``."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.errors import ConfigError, RewardError
from r4t_ray.rewards.answers import Answers
from r4t_ray.rewards.rubric import RewardFn
from r4t_ray.types import Array


class CustomConfig(Settings):
    """A user's class. Its instances are ``RewardFn``."""

    type: str = Field(
        description="module:Class. The module must be importable where the rollout actors run: installed, or below "
        "--working-dir of `ray job submit`."
    )
    weight: float = Field(1.0, description='Factor of the component "reward" in the total reward.')
    options: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the class.")

    def build(self, share: float) -> CustomReward:
        """The reward.

        Raises:
            ConfigError: The class cannot be imported or constructed.
        """
        module, _, name = self.type.partition(":")
        try:
            made = getattr(importlib.import_module(module), name)(**self.options)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"folm.added_rewards: {self.type}",
                f"{type(error).__name__}: {error}",
                "module:Class of an importable module, called with `options`",
                "check the name, the options, and that the module is installed or below the working directory",
            ) from error
        return CustomReward(self.type, made)


class CustomReward:
    """Calls the user's reward and checks that it returns one number for each answer."""

    def __init__(self, name: str, reward: RewardFn) -> None:
        self._name, self._reward = name, reward

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The user's components, (B,) each.

        Raises:
            RewardError: A component is not (B,), or there is no component "reward".
        """
        parts, expected = self._reward(answers), (len(answers.queries),)
        shapes = {name: np.shape(values) for name, values in parts.items()} if isinstance(parts, dict) else {}
        if "reward" not in shapes or set(shapes.values()) != {expected}:
            raise RewardError(
                self._name,
                f"arrays of shapes {shapes}" if shapes else f"a {type(parts).__name__}",
                f'a dict of arrays of shape {expected}, "reward" among them',
                "return one number for each answer",
            )
        return {name: np.asarray(values, np.float32) for name, values in parts.items()}
