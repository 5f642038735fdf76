"""Requests to a rollout actor, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r4t_ray.catalogue import Query
from r4t_ray.folm.policy.engines.interface import Completion
from r4t_ray.types import Task


@dataclass(frozen=True, kw_only=True)
class RolloutRequest:
    """A request for ``num_samples`` samples (G) of each query, from the weights in a directory."""

    queries: tuple[Query, ...]
    num_samples: int
    weights: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One scored sample of one query. ``weights`` names the weights that it was sampled from."""

    query_id: str
    task: Task
    prompt_ids: tuple[int, ...]
    completion: Completion
    reward: float
    components: dict[str, float]
    weights: str


@dataclass(frozen=True, kw_only=True)
class RolloutStats:
    """Statistics of one request, of one actor or the mean over actors.

    Attributes:
        seconds: Seconds spent on load (weights), generate and score.
        restarted: 1 if the actor died since its last answer, else 0.
        cache_hit_rate: Share of texts whose embedding was in the actor's cache, counted since the actor's start.
    """

    seconds: Mapping[str, float]
    restarted: float
    cache_hit_rate: float


def mean_stats(stats: Sequence[RolloutStats]) -> RolloutStats:
    """The mean of every statistic over actors."""
    return RolloutStats(
        seconds={name: float(np.mean([each.seconds[name] for each in stats])) for name in stats[0].seconds},
        restarted=float(np.mean([each.restarted for each in stats])),
        cache_hit_rate=float(np.mean([each.cache_hit_rate for each in stats])),
    )
