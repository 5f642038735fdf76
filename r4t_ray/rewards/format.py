"""The reward of form: an answer that can be parsed and names k different sub-queries."""

from __future__ import annotations

from typing import Literal

import numpy as np

from r4t_ray.config import Settings
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array


class FormatConfig(Settings):
    """Adds ``weight`` times the share of the k sub-queries that are there and differ in more than their case."""

    type: Literal["format"]
    weight: float = 0.1

    def build(self, share: float) -> FormatReward:
        """The reward."""
        return FormatReward()


class FormatReward:
    """0 for an answer that cannot be parsed, 1 for k different sub-queries."""

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """Distinct sub-queries over k."""
        k = answers.scored.sub_emb_BkD.shape[1]
        distinct = [len({text.casefold() for text in texts or ()}) / k for texts in answers.sub_queries]
        return {"reward": np.array(distinct, np.float32)}
