"""How Ray Data's actors run what holds a language model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ray

from r4t_ray.folm.policy.engines.interface import EngineConfig


def in_main_thread(num_actors: int) -> ray.data.ActorPoolStrategy:
    """Actors that work in the thread that made them; Ray Data's default is another one.

    OpenMP keeps a pool of threads for each thread that asks it for work, with as many as that one set. With two pools
    they are more than the cores, and libgomp lets them sleep at every barrier: on two cores a small language model then
    generates at two thirds of its rate.
    """
    return ray.data.ActorPoolStrategy(size=num_actors, enable_true_multi_threading=True)


@dataclass(frozen=True)
class EngineActors:
    """Actors that hold an engine: how many, and how many of Ray's CPUs and GPUs each takes."""

    num_actors: int
    num_cpus: float
    num_gpus: float

    def engine(self, config: EngineConfig) -> EngineConfig:
        """The settings of such an engine: on a CPU as many threads as its actor has cores, rounded up."""
        return config if self.num_gpus else config.model_copy(update={"threads": math.ceil(self.num_cpus)})

    def map(self, rows: ray.data.Dataset, holder: type[Any], arguments: tuple[Any, ...]) -> ray.data.Dataset:
        """Each row through an instance of ``holder``, which is made with the arguments."""
        called: Any = holder
        compute = in_main_thread(self.num_actors)
        return rows.map(
            called, fn_constructor_args=arguments, compute=compute, num_cpus=self.num_cpus, num_gpus=self.num_gpus
        )
