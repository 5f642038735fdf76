"""One fan-out of the language model trained by RL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from r4t_ray.evaluation.bench import PolicyName
from r4t_ray.evaluation.methods.zero_shot import ZeroShot


@dataclass(frozen=True)
class R4TFolm(ZeroShot):
    """One fan-out of the language model trained by Soft-GRPO (folm/<task>/model), sampled at the temperature.

    Directions are the embeddings of its sub-queries, each with its n nearest items.
    """

    name: ClassVar[str] = "r4t_folm"
    policy_name: ClassVar[PolicyName] = "model"
