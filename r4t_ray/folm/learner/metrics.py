"""The metrics of Soft-GRPO: one row for each step and task in metrics.parquet, and the same values in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.files import whole_file
from r4t_ray.folm.rollout.request import Rollout, RolloutStats
from r4t_ray.rewards import RewardOutput
from r4t_ray.types import TASKS, Task

METRICS = "metrics.parquet"

PREFIXES = {
    "components": "component/",
    "component_std": "std/",
    "seconds": "seconds/",
    "faults": "fault/",
    "update": "update/",
}
"""Mapping field of ``StepMetrics`` -> prefix of its columns in metrics.parquet and of its curves in TensorBoard."""


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """Metrics of one step of a task: the samples of one worker and the update that used them.

    Attributes:
        step: Counts batches of samples from 0.
        task: Whose model is trained.
        start: Number of the learner's start that made this step, from 1.
        weights: Name of the weights that sampled.
        num_rollouts: Samples of the step.
        mean_tokens: Mean length of a sample in tokens.
        staleness: Steps between the weights of the samples and the weights that they update.
        cache_hit_rate: Share of texts whose embedding was in a rollout actor's cache.
        reward: Mean over the samples that have a reward.
        reward_std: Mean over groups of the standard deviation of the reward.
        components: Mean of each component of the reward, over the samples in which it has a value.
        component_std: Mean over groups of the standard deviation of each component.
        seconds: Seconds of load, generate and score (means over the rollout actors), publish and step (the learner).
        faults: dropped (samples without a reward), degenerate_groups (no spread of rewards), restarted (share of actors
            that had died).
        validation_reward: Mean reward of the validation queries with the weights before this step; None if it was not
            measured at this step.
        update: loss, grad_norm, learning_rate, logp_gap_mean, logp_gap_max of the last pass over the samples.
    """

    step: int
    task: Task
    start: int
    weights: str
    num_rollouts: int
    mean_tokens: float
    staleness: float
    cache_hit_rate: float
    reward: float
    reward_std: float
    components: Mapping[str, float]
    component_std: Mapping[str, float]
    seconds: Mapping[str, float]
    faults: Mapping[str, float]
    validation_reward: float | None = None
    update: Mapping[str, float] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """The metrics by column name, as in metrics.parquet."""
        row: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            prefix = PREFIXES.get(each.name)
            row |= {each.name: value} if prefix is None else {prefix + name: of for name, of in value.items()}
        return row

    def curves(self) -> dict[str, float]:
        """The columns that are drawn over the steps: all numbers except the counters ``step`` and ``start``."""
        names = {"task", "weights", "step", "start"}
        return {name: float(value) for name, value in self.columns().items() if name not in names and value is not None}

    @classmethod
    def of_columns(cls, row: Mapping[str, Any]) -> StepMetrics:
        """The inverse of ``columns``. None marks a metric that the task does not have."""
        own: dict[str, Any] = {each.name: row[each.name] for each in fields(cls) if each.name not in PREFIXES}
        grouped: dict[str, Any] = {
            name: {
                column.removeprefix(prefix): value
                for column, value in row.items()
                if column.startswith(prefix) and value is not None
            }
            for name, prefix in PREFIXES.items()
        }
        return cls(**own, **grouped)


def step_metrics(
    step: int,
    rollouts: Sequence[Rollout],
    stats: RolloutStats,
    *,
    seconds: Mapping[str, float],
    staleness: int,
    start: int,
) -> list[StepMetrics]:
    """The metrics of one step, one entry for each task in ``rollouts``.

    Args:
        step: The step that the samples are for.
        rollouts: The samples of the step.
        stats: Timings, restarts and cache hits of the rollout actors.
        seconds: Seconds that the learner measured. They are added to the seconds in ``stats``.
        staleness: Steps between the weights of the samples and the weights that they update.
        start: Number of starts of the learner so far.
    """
    rows: list[StepMetrics] = []
    for task in TASKS:
        chosen = [rollout for rollout in rollouts if rollout.task == task]
        if not chosen:
            continue
        output = reward_output(chosen)
        spread = output.diagnostics
        with_value = {name: of_N for name, of_N in output.breakdown.items() if not np.isnan(of_N).all()}
        rows.append(
            StepMetrics(
                step=step,
                task=task,
                start=start,
                weights=Path(chosen[0].weights).name,
                num_rollouts=len(chosen),
                mean_tokens=float(np.mean([len(rollout.completion.token_ids) for rollout in chosen])),
                staleness=float(staleness),
                cache_hit_rate=stats.cache_hit_rate,
                reward=spread.mean,
                reward_std=spread.std,
                components={name: float(np.nanmean(of_N)) for name, of_N in with_value.items()},
                component_std=spread.component_std,
                seconds={**stats.seconds, **seconds},
                faults={
                    "dropped": spread.num_dropped,
                    "degenerate_groups": spread.num_degenerate,
                    "restarted": stats.restarted,
                },
            )
        )
    return rows


def reward_output(rollouts: Sequence[Rollout]) -> RewardOutput:
    """The rewards of one task's rollouts as one batch. The rollouts may come from several actors."""
    return RewardOutput(
        total_B=np.array([rollout.reward for rollout in rollouts]),
        breakdown={
            name: np.array([rollout.components[name] for rollout in rollouts]) for name in rollouts[0].components
        },
        groups=[rollout.query_id for rollout in rollouts],
    )


def read_metrics(path: Path) -> list[StepMetrics]:
    """The rows that ``write_metrics`` wrote."""
    return [StepMetrics.of_columns(row) for row in pq.read_table(path).to_pylist()]


def write_metrics(rows: Sequence[StepMetrics], path: Path) -> None:
    """Write one parquet file atomically. A component that a task does not have is null in the rows of that task."""
    written = [row.columns() for row in rows]
    names = list(dict.fromkeys(name for row in written for name in row))
    with whole_file(path) as partial:
        pq.write_table(pa.table({name: [row.get(name) for row in written] for name in names}), partial)
