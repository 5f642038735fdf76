"""Settings of the warm start."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.config import PerTask, Settings
from r4t_ray.folm.warm_start.supervised import SupervisedConfig
from r4t_ray.types import Task


class WarmStartConfig(Settings):
    """Supervised training before RL, on answers that are built from the training sets."""

    num_passes: PerTask[NonNegativeInt] = Field(
        PerTask[NonNegativeInt](oar=4, wscr=0),
        description="Passes over the training queries of each task. Each pass builds different answers. 0 leaves the "
        "training queries out.",
    )
    num_recombined: PerTask[NonNegativeInt] = Field(
        PerTask[NonNegativeInt](oar=10_000, wscr=30_000),
        description="Queries made by recombining two training queries each. Each query is used once.",
    )
    num_candidates: PositiveInt = Field(
        60,
        description="Answers of oar are picked from this number of entries nearest to the theme. Each answer draws "
        "half of them.",
    )
    temperature: PositiveFloat = Field(
        0.05,
        description="Temperature of the softmax over cosines between queries, which weights the votes of similar sets "
        "for items. With a low temperature only the nearest sets count.",
    )
    own_weight: NonNegativeFloat = Field(
        0.3, description="Score added to the items of the query's own set. Raise it to follow this set more closely."
    )
    voter_share: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Share of the training sets that vote in one pass. Lower it to make passes differ more.",
    )
    teacher: Literal["auto", "votes", "kinds"] = Field(
        "auto",
        description="What wscr answers teach. votes: items that similar training sets name. kinds: phrases whose "
        "nearest items cover the query's own set. auto takes votes if training sets hold at least half of a validation "
        "set's items, else kinds; the log of `r4t ingest` says how many they hold.",
    )
    min_sets: PositiveInt | None = Field(
        None,
        description="The teacher votes names only items that are in at least this number of training sets. null takes "
        "the largest number with which its answers still cover training sets about as well as with all items.",
    )
    training: SupervisedConfig = Field(
        SupervisedConfig(), description="Batches, learning rate and length of the supervised training."
    )

    def teaches(self, task: Task) -> bool:
        """Whether the task gets a warm start."""
        return self.num_passes[task] + self.num_recombined[task] > 0
