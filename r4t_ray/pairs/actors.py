"""How Ray Data's actors run what holds a language model."""

from __future__ import annotations

import ray


def in_main_thread(num_actors: int) -> ray.data.ActorPoolStrategy:
    """Actors that work in the thread that made them; Ray Data's default is another one.

    OpenMP keeps a pool of threads for each thread that asks it for work, with as many as that one set. With two pools
    they are more than the cores, and libgomp lets them sleep at every barrier: on two cores a small language model then
    generates at two thirds of its rate.
    """
    return ray.data.ActorPoolStrategy(size=num_actors, enable_true_multi_threading=True)
