"""Settings of the warm start."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.config import Settings
from r4t_ray.folm.warm_start.supervised import SupervisedConfig
from r4t_ray.types import Task


class WarmStartConfig(Settings):
    """Supervised training on the training sets before RL: so many passes over each task's queries, 0 for none.

    ``wscr_recombined`` queries more are made of the wscr queries. ``temperature`` is that of ``expected_items``;
    ``own_weight`` what membership in the set itself adds to it; ``voter_share`` the share of training sets that vote
    in one pass; ``min_sets`` how many sets an item must be in to be named in an answer.
    """

    wscr_passes: NonNegativeInt = 1
    wscr_recombined: NonNegativeInt = 0
    oar_passes: NonNegativeInt = 1
    temperature: PositiveFloat = 0.05
    own_weight: NonNegativeFloat = 0.3
    voter_share: float = Field(0.5, gt=0.0, le=1.0)
    min_sets: PositiveInt = 2
    training: SupervisedConfig = SupervisedConfig()

    def teaches(self, task: Task) -> bool:
        """Whether a task has a warm start at all."""
        return self.wscr_passes + self.wscr_recombined > 0 if task == "wscr" else self.oar_passes > 0
