"""How Ray Data runs actors that hold a language model."""

from __future__ import annotations

from typing import Any

import ray

from r4t_ray.config import Resources


def in_main_thread(num_actors: int) -> ray.data.ActorPoolStrategy:
    """Actors that work in the thread in which they were constructed; Ray Data uses another thread by default.

    OpenMP keeps one pool of threads for each calling thread. Two pools have more threads than there are cores, and
    libgomp then lets threads sleep at every barrier. On two cores this lowers the generation rate of a small language
    model to two thirds.
    """
    return ray.data.ActorPoolStrategy(size=num_actors, enable_true_multi_threading=True)


def map_on_actors(
    rows: ray.data.Dataset, holder: type[Any], arguments: tuple[Any, ...], actors: Resources
) -> ray.data.Dataset:
    """Apply a ``holder``, an actor constructed with ``arguments``, to each row."""
    called: Any = holder
    # A fault keeps its class and fields on the way to the driver.
    ray.data.DataContext.get_current().raise_original_map_exception = True
    return rows.map(
        called,
        fn_constructor_args=arguments,
        compute=in_main_thread(actors.num),
        num_cpus=actors.cpus,
        num_gpus=actors.gpus,
    )
