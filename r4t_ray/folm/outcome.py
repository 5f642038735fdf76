"""Whether train-folm ended better than plain search and than chance, in one plain line for each task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.folm.learner.metrics import StepMetrics
from r4t_ray.folm.rollout.pool_entries import PoolEntries
from r4t_ray.folm.rollout.task_rewards import TaskRewards
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import TASKS, Task

MOST_QUERIES = 64
LAST_SHARE = 0.1
"""Share of the steps, the last ones, whose mean reward is compared."""
TO_TRY: dict[Task, str] = {
    "oar": "keep pairs.policy.oar: greedy, which does not use it, or train a larger folm.base_model",
    "wscr": "set pairs.reference_share.wscr: 1, which does not use it, or train a larger folm.base_model",
}


def outcome_lines(config: FolmConfig, workspace: Workspace, rows: Sequence[StepMetrics], seed: int) -> list[str]:
    """A line for each task whose last rewards are at most those of plain search or of chance.

    A task with added rewards is left out, because a judge may cost one call per answer.
    """
    rewards = None
    lines = []
    for task in TASKS:
        own = [row.reward for row in rows if row.task == task]
        if own and not config.added_rewards[task]:
            rewards = rewards or TaskRewards(workspace, config)
            reached = float(np.nanmean(own[-max(1, round(LAST_SHARE * len(own))) :]))
            lines += [outcome_line(task, reached, reward_of_entries(rewards, workspace, task, config.k, seed))]
    return [line for line in lines if line]


def outcome_line(task: Task, reached: float, yardsticks: dict[str, float]) -> str:
    """One line that names the best yardstick and what to try; "" if ``reached`` is above every yardstick.

    >>> outcome_line("wscr", 0.3, {"random entries": 0.1})
    ''
    """
    name = max(yardsticks, key=lambda each: yardsticks[each])
    if reached > yardsticks[name]:
        return ""
    return (
        f"{task}: train-folm ended at reward {reached:.3f}, no better than {name} ({yardsticks[name]:.3f}); "
        f"{TO_TRY[task]}"
    )


def reward_of_entries(rewards: TaskRewards, workspace: Workspace, task: Task, k: int, seed: int) -> dict[str, float]:
    """The mean reward of two answers to training queries: the k nearest entries, and k random entries.

    Each entry is a direction, so both answers retrieve as many items as an answer of the language model.
    """
    index, queries = rewards.indexes[task], load_queries(workspace, task, "train")
    rng = np.random.default_rng(seed)
    asked = [queries[n] for n in sorted(rng.permutation(len(queries))[:MOST_QUERIES].tolist())]
    nearest_Bk = index.search(rewards.encoder.encode([query.text for query in asked]), k)[1]
    random_Bk = [rng.permutation(index.size)[:k] for _ in asked]
    entries, found = PoolEntries(workspace, task, index), {}
    for name, rows_Bk in (("the nearest entries (no fan-out)", nearest_Bk), ("random entries", random_Bk)):
        answers = [tuple(index.ids[row] for row in rows_k) for rows_k in rows_Bk]
        found[name] = float(np.nanmean(rewards.score(task, asked, answers, entries)[1].total_B))
    return found
