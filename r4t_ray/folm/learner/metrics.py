"""What Soft-GRPO logs: a row a step and task in metrics.parquet, the same figures in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.files import whole_file
from r4t_ray.folm.rollout.worker import Rollout
from r4t_ray.types import TASKS

METRICS = "metrics.parquet"

Row = dict[str, Any]


def rollout_rows(step: int, rollouts: Sequence[Rollout], stats: dict[str, float]) -> list[Row]:
    """Mean reward and components of each task's rollouts, with the spread inside groups and the batch's timings.

    A component's mean is over the rollouts that have it, those of queries with a reference for coverage. Rollouts whose
    reward could not be computed are ``dropped`` and in no mean; a group with less than two others is degenerate.
    """
    rows: list[Row] = []
    for task in TASKS:
        chosen = [rollout for rollout in rollouts if rollout.task == task]
        if not chosen:
            continue
        groups: dict[str, list[float]] = {}
        for rollout in chosen:
            groups.setdefault(rollout.query_id, []).append(rollout.reward)
        kept = [[reward for reward in rewards if not np.isnan(reward)] for rewards in groups.values()]
        spread = [float(np.std(rewards)) if rewards else 0.0 for rewards in kept]
        values = {name: np.array([r.components[name] for r in chosen]) for name in chosen[0].components}
        parts = {name: float(np.nanmean(of_N)) for name, of_N in values.items() if not np.isnan(of_N).all()}
        rows.append(
            {
                "step": step,
                "task": task,
                "num_rollouts": len(chosen),
                "dropped": len(chosen) - sum(map(len, kept)),
                "reward": float(np.mean([reward for rewards in kept for reward in rewards])),
                "reward_std": float(np.mean(spread)),
                "degenerate_groups": sum(std == 0 for std in spread),
                "mean_tokens": float(np.mean([len(rollout.completion.token_ids) for rollout in chosen])),
                "weights": Path(chosen[0].weights).name,
                **parts,
                **stats,
            }
        )
    return rows


def read_rows(path: Path) -> list[Row]:
    """What ``write_rows`` wrote, without the components that a row does not have."""
    return [{k: v for k, v in row.items() if v is not None} for row in pq.read_table(path).to_pylist()]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """One parquet file, whole or not there; a component that a task does not have is null in its rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as partial:
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), partial)
