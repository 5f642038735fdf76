"""Rewards of form: whether an answer can be parsed, and how many of its k sub-queries differ."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array


class FormatConfig(Settings):
    """Rewards an answer for the share of the k sub-queries that are present and differ in more than their case."""

    type: Literal["format"] = Field(description="Selects this reward.")
    weight: float = Field(
        0.1, description="What an answer with k different sub-queries adds to the reward; fewer add their share of it."
    )

    def build(self, share: float) -> FormatReward:
        """The reward."""
        return FormatReward()


class FormatReward:
    """0 for an answer that cannot be parsed, 1 for k different sub-queries."""

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The component "reward": the number of different sub-queries divided by k, (B,)."""
        k = answers.retrieved.sub_emb_BkD.shape[1]
        distinct = [len({text.casefold() for text in texts or ()}) / k for texts in answers.sub_queries]
        return {"reward": np.array(distinct, np.float32)}
