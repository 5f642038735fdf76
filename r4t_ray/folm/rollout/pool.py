"""The pool of rollout actors: it splits a request over them, and restarts hung or dead actors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import EngineError
from r4t_ray.folm.rollout.request import Rollout, RolloutRequest, RolloutStats, mean_stats
from r4t_ray.folm.rollout.worker import RolloutWorker
from r4t_ray.folm.settings import FolmConfig

MAX_TRIES = 3

_logger = logging.getLogger(__name__)


class RolloutPool:
    """Rollout actors that share a batch of queries. Ray restarts an actor that dies and repeats its request."""

    def __init__(self, workspace: Workspace, config: FolmConfig, model_dir: Path) -> None:
        self._timeout_s = config.rollout_timeout_s
        actor = ray.remote(RolloutWorker).options(
            num_cpus=config.rollout.cpus,
            num_gpus=config.rollout.gpus,
            max_restarts=-1,
            max_task_retries=MAX_TRIES - 1,
        )
        self.actors: list[Any] = [
            actor.remote(str(workspace.root), config, str(model_dir)) for _ in range(config.rollout.num)
        ]

    def rollout(self, request: RolloutRequest) -> tuple[list[Rollout], RolloutStats]:
        """Scored samples of every query, in order.

        Raises:
            EngineError: As in ``PendingRollout.wait``.
        """
        return submit(self.actors, request).wait(self._timeout_s)

    def shutdown(self) -> None:
        """Stop the actors and free their memory."""
        for actor in self.actors:
            ray.kill(actor)


@dataclass(frozen=True, kw_only=True)
class PendingRollout:
    """A request in progress. ``parts`` holds each actor with the Ray reference of its part of the request."""

    parts: Sequence[tuple[Any, Any]]

    def wait(self, timeout_s: float) -> tuple[list[Rollout], RolloutStats]:
        """The samples, in the order of the request's queries, and the mean of the actors' statistics.

        Raises:
            EngineError: An actor died or took longer than ``timeout_s`` in each of MAX_TRIES tries at its part.
        """
        answers = [_await(actor, reference, timeout_s) for actor, reference in self.parts]
        rollouts = [rollout for part_rollouts, _ in answers for rollout in part_rollouts]
        return rollouts, mean_stats([stats for _, stats in answers])


def submit(actors: Sequence[Any], request: RolloutRequest) -> PendingRollout:
    """Split a request over actors and start them, without waiting for the result.

    vLLM samples the query at place i of a request with the request's seed + i. So each part has the seed of its first
    query, and the samples do not depend on the number of actors. The engine transformers draws one stream of numbers
    for each part, so its samples do.
    """
    parts = [
        replace(request, queries=tuple(request.queries[i] for i in places), seed=request.seed + int(places[0]))
        for places in np.array_split(np.arange(len(request.queries)), len(actors))
        if len(places)
    ]
    pairs = zip(actors, parts, strict=False)  # few queries make fewer parts than actors
    return PendingRollout(parts=[(actor, actor.rollout.remote(part)) for actor, part in pairs])


def _await(actor: Any, reference: Any, timeout_s: float) -> tuple[list[Rollout], RolloutStats]:
    for tried in range(1, MAX_TRIES + 1):
        if ray.wait([reference], timeout=timeout_s)[0]:
            break
        _logger.warning("a rollout actor has not answered in %.0f s: restarted (%d of %d)", timeout_s, tried, MAX_TRIES)
        ray.kill(actor, no_restart=False)  # Ray repeats the request once it is back
    else:
        raise EngineError(
            "rollout actor",
            f"no answer in {timeout_s:.0f} s, {MAX_TRIES} times",
            "an answer",
            "raise folm.rollout_timeout_s, or read the actor's log under the Ray session",
        )
    try:
        answer: tuple[list[Rollout], RolloutStats] = ray.get(reference)
    except ray.exceptions.RayActorError as error:
        raise EngineError(
            "rollout actor",
            f"{MAX_TRIES} deaths on one request, the last: {error}",
            "a running engine",
            "read the actor's log under the Ray session",
        ) from error
    return answer
