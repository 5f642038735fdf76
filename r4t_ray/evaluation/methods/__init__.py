"""The registry: a method is one file here and one line below, and its name one of ``settings.MethodName``."""

from __future__ import annotations

from typing import Protocol

from r4t_ray.evaluation.answers import Method
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.methods.best_of_5 import BestOf5
from r4t_ray.evaluation.methods.best_of_5_oracle import BestOf5Oracle
from r4t_ray.evaluation.methods.greedy_reward import GreedyReward
from r4t_ray.evaluation.methods.nearest_sets import NearestSets
from r4t_ray.evaluation.methods.nearest_sets_items import NearestSetsItems
from r4t_ray.evaluation.methods.no_fanout import NoFanOut
from r4t_ray.evaluation.methods.no_fanout_mmr import NoFanOutMMR
from r4t_ray.evaluation.methods.popular import Popular
from r4t_ray.evaluation.methods.popular_items import PopularItems
from r4t_ray.evaluation.methods.r4t_diffusion import R4TDiffusion
from r4t_ray.evaluation.methods.r4t_folm import R4TFolm
from r4t_ray.evaluation.methods.r4t_student import R4TStudent
from r4t_ray.evaluation.methods.zero_shot import ZeroShot
from r4t_ray.types import Task


class MethodClass(Protocol):
    """A class of methods: what the registry holds."""

    name: str
    tasks: tuple[Task, ...]

    def build(self, bench: Bench) -> Method:
        """The method for one task."""
        ...


METHODS: dict[str, MethodClass] = {
    "no_fanout": NoFanOut,
    "no_fanout_mmr": NoFanOutMMR,
    "greedy_reward": GreedyReward,
    "popular": Popular,
    "popular_items": PopularItems,
    "nearest_sets": NearestSets,
    "nearest_sets_items": NearestSetsItems,
    "zero_shot": ZeroShot,
    "best_of_5": BestOf5,
    "best_of_5_oracle": BestOf5Oracle,
    "r4t_folm": R4TFolm,
    "r4t_diffusion": R4TDiffusion,
    "r4t_student": R4TStudent,
}
"""In the order of the tables; the language-model rows stand together so that they share one engine."""
