"""Settings of the warm start."""

from __future__ import annotations

from typing import Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from r4t_ray.config import PerTask, Settings
from r4t_ray.folm.warm_start.supervised import SupervisedConfig
from r4t_ray.types import Task


class WarmStartConfig(Settings):
    """Supervised training before RL, on answers that are built from the training sets."""

    num_passes: PerTask[NonNegativeInt] = Field(
        PerTask[NonNegativeInt](oar=4, wscr=0),
        description="Passes over the training queries of each task, with other answers in each pass. 0 leaves them "
        "out.",
    )
    num_recombined: PerTask[NonNegativeInt] = Field(
        PerTask[NonNegativeInt](oar=0, wscr=30_000),
        description="Queries that are made of two training titles, used once each. For wscr only; oar must be 0.",
    )
    temperature: PositiveFloat = Field(
        0.05,
        description="Temperature of the softmax over cosines between queries, by which similar sets vote for items. A "
        "low one listens to the nearest sets alone.",
    )
    own_weight: NonNegativeFloat = Field(
        0.3, description="Added to the vote for an item that is in the query's own set. Raise it to follow the set."
    )
    voter_share: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of the training sets that vote in one pass, so that passes differ."
    )
    min_sets: PositiveInt = Field(
        5, description="Only items of at least this number of training sets are named in wscr answers."
    )
    training: SupervisedConfig = Field(SupervisedConfig(), description="The supervised training itself.")

    def teaches(self, task: Task) -> bool:
        """Whether a task has a warm start at all."""
        return self.num_passes[task] + self.num_recombined[task] > 0

    @model_validator(mode="after")
    def _themes_are_not_recombined(self) -> Self:
        if self.num_recombined.oar:
            raise ValueError("num_recombined.oar must be 0: only wscr queries are recombined in the warm start")
        return self
