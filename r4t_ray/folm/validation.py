"""The mean reward of fixed validation queries while a model trains, and the weights with the highest one.

The batches of training hold other queries at each step, so their rewards do not show whether the model improves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries
from r4t_ray.files import write_json
from r4t_ray.folm.rollout.source import RolloutSource
from r4t_ray.folm.weights.disk import save_weights
from r4t_ray.measures.bootstrap import Estimate, paired_difference
from r4t_ray.types import Task

VALIDATION = "validation.json"
"""File in a task's folder: the rewards of each validated step."""
BEST = "best"
"""Folder in a task's folder: the weights of the validated step with the highest mean reward."""
NUM_SAMPLES = 2
"""Answers of each validation query. Their rewards are averaged."""
SEED = 20_263
"""Seed of the samples: equal at all steps and in all runs."""
NUM_BOOTSTRAP = 1000


def validation_queries(task: Task, workspace: Workspace, count: int) -> list[Query]:
    """At most ``count`` validation queries of a task, evenly spaced."""
    queries = load_queries(workspace, task, "val")
    if not queries:
        return []
    places = np.linspace(0, len(queries) - 1, min(count, len(queries)), dtype=np.int64)
    return [queries[place] for place in places.tolist()]


@dataclass(kw_only=True)
class Validation:
    """Samples answers to the validation queries, writes their rewards, and keeps the weights with the highest mean.

    Attributes:
        queries: The validation queries. Without any, nothing is sampled.
        every: Steps between two validations; 0 never validates.
        patience: Validations in a row without a new highest mean after which RL ends; None never ends it.
        source: Requests samples from the rollout actors.
        folder: The task's folder.
        is_over: Whether RL ends.
    """

    queries: Sequence[Query]
    every: int
    patience: int | None
    source: RolloutSource
    folder: Path
    is_over: bool = field(default=False, init=False)

    @property
    def is_on(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self.every and self.queries)

    def is_due(self, step: int) -> bool:
        """Whether the weights before ``step`` are measured."""
        return self.is_on and step % self.every == 0

    def run(self, step: int, trainer: Any) -> float | None:
        """The mean reward with the trainer's current weights, after ``step`` steps. Every worker must call this.

        The first worker samples and writes; the others get None.
        """
        rewards = self.source.rewards_of(self.queries, NUM_SAMPLES, SEED, trainer)
        mean, is_best, is_over = None, False, False
        if rewards is not None:
            of_sample = np.ma.masked_invalid(np.reshape(rewards, (-1, NUM_SAMPLES)).astype(np.float64))
            of_query = of_sample.mean(axis=1).filled(np.nan)  # NaN if no answer to a query has a reward
            mean = float(np.nanmean(of_query))
            measured = read_validation(self.folder) | {str(step): of_query.tolist()}
            write_json(self.folder / VALIDATION, measured)
            so_far = {int(name): own for name, own in measured.items() if int(name) <= step}  # a resumed run repeats
            best = best_step(so_far)
            is_best = best == step
            is_over = self.patience is not None and sum(each > best for each in so_far) >= self.patience
        is_best, self.is_over = _first_workers(trainer, is_best, is_over)
        if is_best:
            save_weights(trainer, self.folder / BEST)
            trainer.accelerator.wait_for_everyone()
        return mean


def best_step(rewards: Mapping[int, Sequence[float]]) -> int:
    """The step with the highest mean reward, the earliest of equal ones. NaN is left out of a mean.

    >>> best_step({0: [0.1, 0.3], 5: [0.2, 0.4], 10: [0.3, float("nan")]})
    5
    """
    return max(sorted(rewards), key=lambda step: float(np.nanmean(rewards[step])))


def _first_workers(trainer: Any, *decisions: bool) -> list[bool]:
    """What the first worker decided, in every worker. The other workers pass False."""
    accelerator = trainer.accelerator
    own = torch.tensor([decisions], dtype=torch.float32, device=accelerator.device)
    decided: list[bool] = accelerator.gather(own).amax(dim=0).bool().tolist()
    return decided


def read_validation(folder: Path) -> dict[str, list[float]]:
    """Step -> the reward of each validation query before that step; empty if nothing was validated."""
    file = folder / VALIDATION
    found: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def validation_gain(folder: Path) -> Estimate | None:
    """The mean reward at the last validated step minus the mean at the first, with its paired bootstrap interval.

    None if fewer than two steps were validated, or if no query has a reward at both.
    """
    first_B, last_B = _first_and_last(folder)
    return paired_difference(last_B, first_B, NUM_BOOTSTRAP, 0) if len(first_B) else None


def gain_line(task: Task, folder: Path) -> str:
    """One line with the gain and its interval; "" if there is none."""
    gain = validation_gain(folder)
    if gain is None:
        return ""
    first, last = (float(rewards_B.mean()) for rewards_B in _first_and_last(folder))
    return (
        f"{task}: mean reward of {gain.n} validation queries {first:.4f} before and {last:.4f} after RL, "
        f"gain {gain.value:.4f} [{gain.low:.4f}, {gain.high:.4f}]; kept: {kept_weights(folder)}"
    )


def kept_weights(folder: Path) -> str:
    """Which weights training kept, in words: those with the highest mean reward of the validation queries."""
    best = best_step({int(step): own for step, own in read_validation(folder).items()})
    return f"the weights after step {best}" if best else "the weights of the warm start, which RL did not improve"


def _first_and_last(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rewards at the first and the last validated step, of the queries that have both; none before two steps."""
    rewards = read_validation(folder)
    steps = sorted(rewards, key=int)
    if len(steps) < 2:
        return np.empty(0), np.empty(0)
    first_B, last_B = (np.array(rewards[step], np.float64) for step in (steps[0], steps[-1]))
    has_both_B = ~np.isnan(first_B + last_B)
    return first_B[has_both_B], last_B[has_both_B]
