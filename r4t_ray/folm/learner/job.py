"""The job that the driver gives to the Ray Train workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r4t_ray.catalogue import Query
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import Task


@dataclass(frozen=True, kw_only=True)
class LearnerJob:
    """Soft-GRPO of one task, from ``folder/warm_start`` to ``folder/model``.

    ``schedule`` holds the query of each group in the order of use, ``validation`` the queries whose reward is measured
    during training; ``actors`` are the Ray handles of the rollout pool.
    """

    task: Task
    config: FolmConfig
    folder: Path
    schedule: Sequence[Query]
    validation: Sequence[Query]
    actors: Sequence[Any]
    seed: int

    @property
    def grpo(self) -> SoftGRPOConfig:
        """The settings of the task's RL."""
        return self.config.grpo[self.task]
