"""Entries of a pool in place of sub-queries: they are searched and rewarded like texts that a language model wrote."""

from __future__ import annotations

from collections.abc import Sequence

from r4t_ray.artifacts import Workspace
from r4t_ray.folm.rollout.task_rewards import pool_entries
from r4t_ray.index import ShardedIndex
from r4t_ray.types import Array, Task


class PoolEntries:
    """Embeds the ids of pool entries as the pool does, and gives their texts."""

    def __init__(self, workspace: Workspace, task: Task, index: ShardedIndex) -> None:
        self._emb_MD = index.emb_MD
        self._row_of = {name: row for row, name in enumerate(index.ids)}
        self._texts = [entry.text for entry in pool_entries(task, workspace, index.ids)]

    def encode(self, texts: Sequence[str]) -> Array:
        """The pool's embedding of each id."""
        return self._emb_MD[[self._row_of[name] for name in texts]]

    def texts(self, ids: Sequence[str]) -> list[str]:
        """The text of each id."""
        return [self._texts[self._row_of[name]] for name in ids]
