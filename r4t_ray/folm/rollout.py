"""Rollout workers: Ray actors that each hold a generation engine and score its completions."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query
from r4t_ray.errors import EngineError
from r4t_ray.folm.engine import Completion
from r4t_ray.folm.fan_out import FanOutModel, SharedEngine
from r4t_ray.folm.prompt import parse_answer, preamble_chars
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.task_rewards import TaskRewards
from r4t_ray.rewards import RewardOutput
from r4t_ray.types import TASKS, Task

MAX_TRIES = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rollout:
    """One scored sample of one query."""

    query_id: str
    task: Task
    prompt_ids: tuple[int, ...]
    completion: Completion
    reward: float
    components: dict[str, float]
    weights: str


@dataclass(frozen=True)
class Request:
    """The input of a rollout: G samples of each query from the weights of a directory."""

    queries: tuple[Query, ...]
    num_samples: int
    weights: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class RolloutStats:
    """Figures of one request, of one actor or the mean over actors.

    Attributes:
        seconds: Spent on load (weights), generate and score.
        restarted: 1 where the actor had died since its last answer.
        cache_hit_rate: Share of texts whose embedding was in the actor's cache, since its start.
    """

    seconds: Mapping[str, float]
    restarted: float
    cache_hit_rate: float


def mean_stats(stats: Sequence[RolloutStats]) -> RolloutStats:
    """The mean over actors of every figure."""
    return RolloutStats(
        seconds={name: float(np.mean([each.seconds[name] for each in stats])) for name in stats[0].seconds},
        restarted=float(np.mean([each.restarted for each in stats])),
        cache_hit_rate=float(np.mean([each.cache_hit_rate for each in stats])),
    )


class RolloutWorker:
    """Generates and scores; loads the weights that a request names before it samples from them."""

    def __init__(self, workspace: str, config: FolmConfig, model_dir: str) -> None:
        self._config = config
        self._engine = SharedEngine(partial(FanOutModel.load, config=config))
        self._engine.at(Path(model_dir))
        self._rewards = TaskRewards(Workspace(workspace), config)
        # Whether the next answer is the first after a death.
        self._is_restarted = bool(ray.get_runtime_context().was_current_actor_reconstructed)

    def transfer(self, call: str, arguments: dict[str, Any], weights: str | None = None) -> None:
        """One call of vLLM's weight transfer; the last one names the weights that the engine then has."""
        self._engine.transfer(call, arguments, Path(weights) if weights else None)

    def rollout(self, request: Request) -> tuple[list[Rollout], RolloutStats]:
        """Scored samples of every query, in the request's order, and the figures of this request.

        Raises:
            RuntimeError: Weights come by transfer, and those of the request never came to this engine.
        """
        if self._config.engine.weight_transfer != "disk" and self._engine.weights != Path(request.weights):
            raise RuntimeError(f"this engine was restarted and has not been sent {request.weights}")
        started = time.perf_counter()
        model = self._engine.at(Path(request.weights))
        loaded = time.perf_counter()
        queries = request.queries
        places = {task: [place for place, query in enumerate(queries) if query.task == task] for task in TASKS}
        completions = {
            task: model.complete(
                task,
                [queries[place].text for place in asked],
                self._config.k,
                num_samples=request.num_samples,
                temperature=self._config.grpo_of(task).temperature,
                seed=request.seed,
            )
            for task, asked in places.items()
            if asked
        }
        generated = time.perf_counter()
        groups: dict[int, list[Rollout]] = {}
        for task, sampled in completions.items():
            scored = self._score(model, [queries[place] for place in places[task]], sampled)
            groups.update(zip(places[task], scored, strict=True))
        encoder = self._rewards.encoder
        self._is_restarted, is_restarted = False, self._is_restarted
        stats = RolloutStats(
            seconds={
                "load": loaded - started,
                "generate": generated - loaded,
                "score": time.perf_counter() - generated,
            },
            restarted=float(is_restarted),
            cache_hit_rate=encoder.hits / max(1, encoder.hits + encoder.misses),
        )
        return [rollout for place in range(len(queries)) for rollout in groups[place]], stats

    def _score(
        self, model: FanOutModel, queries: Sequence[Query], completions: Sequence[Sequence[Completion]]
    ) -> list[list[Rollout]]:
        task, n = queries[0].task, len(completions[0])
        flat = [completion for row in completions for completion in row]
        owners = [query for query in queries for _ in range(n)]
        output = score_texts(self._rewards, owners, [completion.text for completion in flat], self._config.k)
        rollouts = [
            Rollout(
                query.query_id,
                task,
                model.prompt_ids(task, query.text, self._config.k),
                completion,
                float(output.total_B[b]),
                {name: float(values_B[b]) for name, values_B in output.breakdown.items()},
                str(self._engine.weights),
            )
            for b, (query, completion) in enumerate(zip(owners, flat, strict=True))
        ]
        return [rollouts[start : start + n] for start in range(0, len(rollouts), n)]


def score_texts(rewards: TaskRewards, queries: Sequence[Query], texts: Sequence[str], k: int) -> RewardOutput:
    """From the text of B completions to their rewards.

    Args:
        rewards: Scores.
        queries: The query of each completion, all of one task.
        texts: The completions.
        k: Sub-queries of an answer.
    """
    _, output = rewards.score(queries[0].task, queries, [parse_answer(text, k) for text in texts])
    preamble_B = np.array([preamble_chars(text) for text in texts], np.float32)
    return replace(output, breakdown={**output.breakdown, "preamble_chars": preamble_B})


class RolloutPool:
    """N rollout actors on which a batch of queries is spread; Ray restarts one that dies and asks it again."""

    def __init__(self, workspace: Workspace, config: FolmConfig, model_dir: Path) -> None:
        self._timeout_s = config.rollout_timeout_s
        actor = ray.remote(RolloutWorker).options(
            num_cpus=config.rollout_cpus, num_gpus=config.rollout_gpus, max_restarts=-1, max_task_retries=MAX_TRIES - 1
        )
        self.actors: list[Any] = [
            actor.remote(str(workspace.root), config, str(model_dir)) for _ in range(config.num_rollout_actors)
        ]

    def rollout(self, request: Request) -> tuple[list[Rollout], RolloutStats]:
        """Scored samples of every query, in order; raises EngineError as ``rollout_on`` does."""
        return rollout_on(self.actors, request, self._timeout_s)

    def shutdown(self) -> None:
        """Stop the actors and free their memory."""
        for actor in self.actors:
            ray.kill(actor)


def rollout_on(actors: Sequence[Any], request: Request, timeout_s: float) -> tuple[list[Rollout], RolloutStats]:
    """Ask and wait; raises EngineError as ``PendingRollout.wait`` does."""
    return ask(actors, request).wait(timeout_s)


@dataclass(frozen=True)
class PendingRollout:
    """Samples that rollout actors are at work on: each actor with the reference of its part."""

    parts: Sequence[tuple[Any, Any]]

    def wait(self, timeout_s: float) -> tuple[list[Rollout], RolloutStats]:
        """The samples, in the order of the queries asked, and the actors' mean figures.

        Raises:
            EngineError: An actor died, or took longer than ``timeout_s``, MAX_TRIES times on its part.
        """
        answers = [_await(actor, reference, timeout_s) for actor, reference in self.parts]
        rollouts = [rollout for part_rollouts, _ in answers for rollout in part_rollouts]
        return rollouts, mean_stats([stats for _, stats in answers])


def ask(actors: Sequence[Any], request: Request) -> PendingRollout:
    """Split a request over actors, which start on it at once."""
    parts = [
        replace(request, queries=tuple(request.queries[i] for i in places), seed=request.seed + 7919 * number)
        for number, places in enumerate(np.array_split(np.arange(len(request.queries)), len(actors)))
        if len(places)
    ]
    return PendingRollout([(actor, actor.rollout.remote(part)) for part, actor in zip(parts, actors, strict=False)])


def _await(actor: Any, reference: Any, timeout_s: float) -> tuple[list[Rollout], RolloutStats]:
    for tried in range(1, MAX_TRIES + 1):
        if ray.wait([reference], timeout=timeout_s)[0]:
            break
        log.warning("a rollout actor has not answered in %.0f s: restarted (%d of %d)", timeout_s, tried, MAX_TRIES)
        ray.kill(actor, no_restart=False)  # Ray asks it again once it lives
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
            "a living engine",
            "read the actor's log under the Ray session",
        ) from error
    return answer
