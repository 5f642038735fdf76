"""The learner's source of samples: requests to the rollout pool, in turn with training or one step ahead of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r4t_ray.catalogue import Query
from r4t_ray.errors import EngineError
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.rollout.pool import PendingRollout, submit
from r4t_ray.folm.rollout.request import Rollout, RolloutRequest, RolloutStats
from r4t_ray.folm.weights.publisher import WeightPublisher


@dataclass(frozen=True, kw_only=True)
class SampledBatch:
    """One worker's samples of a step, statistics of the actors, and the age of the sampling weights in steps."""

    rollouts: Sequence[Rollout]
    stats: RolloutStats
    staleness: int


@dataclass(kw_only=True)
class RolloutSource:
    """Publishes the learner's weights, and requests one worker's samples of each step from the rollout actors.

    With ``grpo.max_staleness`` 1 the samples of the next step are requested as soon as this step's samples arrive.
    Engines and learner then work at the same time, and the ratio in the loss corrects for the older weights.
    """

    grpo: SoftGRPOConfig
    schedule: Sequence[Query]
    actors: Sequence[Any]
    weights: WeightPublisher
    rank: int
    num_workers: int
    seed: int
    timeout_s: float
    _pending: dict[int, tuple[int, PendingRollout]] = field(default_factory=dict, init=False)

    def queries_of(self, step: int) -> Sequence[Query]:
        """This worker's queries of a step: trl gives each rank an equal run of consecutive queries."""
        size = self.grpo.queries_per_step // self.num_workers
        first = step * self.grpo.queries_per_step + self.rank * size
        return self.schedule[first : first + size]

    def batch(self, step: int, trainer: Any) -> SampledBatch:
        """The samples of ``step``, which must be the trainer's current step.

        Raises:
            EngineError: Actors died or hung too often, or a sample comes from other weights than its request named.
        """
        if step not in self._pending:
            self._submit(step, trainer, present=step)
        sampled_at, pending = self._pending.pop(step)
        rollouts, stats = pending.wait(self.timeout_s)
        if self.grpo.max_staleness and step + 1 < self.grpo.num_steps:
            self._submit(step + 1, trainer, present=step)
        self._check_weights(rollouts, step=step, sampled_at=sampled_at)
        return SampledBatch(rollouts=rollouts, stats=stats, staleness=step - sampled_at)

    def rewards_of(self, queries: Sequence[Query], num_samples: int, seed: int, trainer: Any) -> list[float] | None:
        """The rewards of ``num_samples`` answers to each query in order, sampled from the trainer's current weights.

        Every worker must call this, because all workers publish the weights together. Only the first one samples. The
        others get None.

        Raises:
            EngineError: Actors died or hung too often.
        """
        weights = self.weights.current(trainer)
        if self.rank:
            return None
        request = RolloutRequest(queries=tuple(queries), num_samples=num_samples, weights=str(weights), seed=seed)
        rollouts, _ = submit(self.actors, request).wait(self.timeout_s)
        return [rollout.reward for rollout in rollouts]

    def _submit(self, step: int, trainer: Any, *, present: int) -> None:
        """Publish the weights that the learner has at step ``present``, and request the samples of ``step``."""
        weights = self.weights.current(trainer)
        seed = self.seed + 1_000_003 * step + 101 * self.rank
        request = RolloutRequest(
            queries=tuple(self.queries_of(step)),
            num_samples=self.grpo.num_generations,
            weights=str(weights),
            seed=seed,
        )
        self._pending[step] = present, submit(self.actors, request)

    def _check_weights(self, rollouts: Sequence[Rollout], *, step: int, sampled_at: int) -> None:
        expected = f"step-{sampled_at * self.grpo.num_iterations:08d}"
        others = {Path(rollout.weights).name for rollout in rollouts} - {expected}
        if others:
            raise EngineError(
                f"rollout at step {step}",
                f"samples of the weights {sorted(others)}",
                f"samples of {expected} only",
                "the engines do not load the published weights: read the rollout actors' logs",
            )
