"""The reward that RL maximises: a task's own, what similar sets hold, and those that settings add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_items, load_sets
from r4t_ray.folm.policy.model import FanOut
from r4t_ray.folm.scorer import SetScorer
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.similar_sets import SimilarSets
from r4t_ray.rewards import (
    AddedReward,
    Answers,
    PoolEntry,
    ScoredFanOut,
    add_rewards,
    blend_expected,
    build_added,
    expected_coverage,
)
from r4t_ray.types import Array, Task


class TaskRewards:
    """Scores answers of any task; opened once in each rollout actor."""

    def __init__(self, workspace: Workspace, config: FolmConfig) -> None:
        self._config = config
        self.scorer = SetScorer.open(workspace, config.k, config.num_hits, config.oar)
        self._similar: SimilarSets | None = None
        if config.wscr.expected_share > 0 and "wscr" in config.tasks:
            pool_ids = self.scorer.indexes["wscr"].ids
            self._similar = SimilarSets.open(workspace, pool_ids, config.wscr.temperature)
        self._added: dict[Task, list[AddedReward]] = {}
        self._pool: dict[Task, list[PoolEntry]] = {}
        for task, configs in config.rewards.items():
            self._added[task] = build_added(configs, 1 / config.num_rollout_actors)
            self._pool[task] = pool_entries(task, workspace, self.scorer.indexes[task].ids)

    def score(
        self, task: Task, queries: Sequence[Query], fan_outs: Sequence[FanOut]
    ) -> tuple[ScoredFanOut, dict[str, Array]]:
        """The answers after search, and the components of their reward, (B,) each.

        "reward" is among the components; NaN means that an answer has none.

        Args:
            task: Whose pool is searched.
            queries: The query of each answer.
            fan_outs: The answers; None is one that could not be parsed.
        """
        asked = {query.query_id: query for query in queries}
        row_of = {query_id: row for row, query_id in enumerate(asked)}
        rows_B = [row_of[query.query_id] for query in queries]
        query_emb_QD = self.scorer.encoder.encode([query.text for query in asked.values()])
        scored = self.scorer.retrieve(task, query_emb_QD[rows_B], fan_outs)
        parts: dict[str, Any] = self.scorer.reward(task, scored, [query.item_ids for query in queries])
        if task == "wscr" and self._similar:
            score_QM = self._similar.expected(list(asked), query_emb_QD)
            parts["expected"] = expected_coverage(scored, score_QM[rows_B])
            parts["reward"] = blend_expected(parts["coverage"], parts["expected"], self._config.wscr.expected_share)
        parts["parsed"] = np.array([fan_out is not None for fan_out in fan_outs], np.float32)
        parts["distinct"] = np.array([len(set(fan_out or ())) / self._config.k for fan_out in fan_outs], np.float32)
        if self._added.get(task):
            answers = Answers([query.text for query in queries], fan_outs, scored, self._pool[task])
            parts = add_rewards(parts, self._added[task], answers)
        return scored, parts


def pool_entries(task: Task, workspace: Workspace, pool_ids: Sequence[str]) -> list[PoolEntry]:
    """Text and attributes of each row of a task's pool: items for wscr, collections for oar."""
    if task == "wscr":
        entries = {item.item_id: PoolEntry(item.text, item.attributes) for item in load_items(workspace)}
    else:
        entries = {each.set_id: PoolEntry(each.title, {}) for each in load_sets(workspace)}
    return [entries[name] for name in pool_ids]
