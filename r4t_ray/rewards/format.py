"""A reward of form: the share of k sub-queries that an answer has and that differ."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array


class FormatConfig(Settings):
    """Rewards an answer for its number of different sub-queries, divided by k. Case is ignored."""

    type: Literal["format"] = Field(description="Selects this reward.")
    weight: float = Field(
        0.1, description="Factor of the share of k sub-queries that differ, which is added to the reward."
    )

    def build(self, share: float) -> FormatReward:
        """The reward."""
        return FormatReward()


class FormatReward:
    """The reward is 1 for k different sub-queries, and 0 for an answer that cannot be parsed."""

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The component "reward": the number of different sub-queries divided by k, (B,)."""
        k = answers.retrieved.sub_emb_BkD.shape[1]
        distinct = [len({text.casefold() for text in texts or ()}) / k for texts in answers.sub_queries]
        return {"reward": np.array(distinct, np.float32)}
