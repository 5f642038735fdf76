"""The tasks of a workspace with its live changes: what the log has at a request is what the request sees.

New entries follow the rows of a pool and lie in a shard of their own. Rows that were replaced or deleted stay in their
shards, and a mask keeps them out of every search.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.decoder import OwnNumbers, new_item_vectors
from r4t_ray.errors import ArtifactError
from r4t_ray.index import Shard, flat_shard
from r4t_ray.live import Entry, LiveState, Replay
from r4t_ray.retrieval.filtering.attributes import ItemAttributes, PoolAttributes
from r4t_ray.retrieval.live.attributes import with_entries_of_items, with_items, with_sets
from r4t_ray.retrieval.open_task import Labels, OpenTask, Pool, with_other_pools
from r4t_ray.types import Array, IndexName, LivePool, Mask, Task

RETRY_S = 1.0
"""Seconds between two tries to read a log that cannot be used."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Served:
    """What one request sees from its start to its end: the tasks, and the shards that this process searches."""

    tasks: Mapping[Task, OpenTask]
    shards: Mapping[IndexName, tuple[Shard, ...]]


class LiveTasks:
    """The tasks of a workspace, kept up with the log of its live changes.

    Args:
        workspace: The workspace.
        tasks: Its tasks without live changes, as ``open_tasks`` gives them.
        shards: The shards of this process.

    Raises:
        ArtifactError: The log was changed, or made for other artifacts.
    """

    def __init__(
        self, workspace: Workspace, tasks: Mapping[Task, OpenTask], shards: Mapping[IndexName, tuple[Shard, ...]]
    ) -> None:
        self._before = Served(tasks=with_other_pools(tasks), shards=shards)
        self._own = OwnNumbers(workspace) if "decoder" in shards else None
        self.served = self._before
        self._replay, self._guard = Replay(workspace), threading.Lock()
        self._path, self._seen = self._replay.reader.path, signature(self._replay.reader.path)
        self._is_behind, self._unusable, self._wait_until = False, tuple[int, ...](), 0.0
        self._update()

    def is_current(self) -> bool:
        """Whether ``served`` has every change that was acknowledged before this call.

        Of a log that cannot be used it says so for a second, and then the log is tried again.
        """
        return self._needs_nothing(signature(self._path))

    def _needs_nothing(self, found: tuple[int, ...]) -> bool:
        return found == self._seen or (found == self._unusable and time.monotonic() < self._wait_until)

    def update(self) -> Served:
        """Read the log on. If it cannot be used, the state before stays, and the log of the server says so."""
        with self._guard:
            found = signature(self._path)
            if not self._needs_nothing(found):
                try:
                    self._update()
                    self._seen = found
                except (ArtifactError, OSError) as error:
                    self._unusable, self._wait_until = found, time.monotonic() + RETRY_S
                    _logger.error("live changes are not read on: %s", error)
        return self.served

    def _update(self) -> None:
        self._is_behind = self._replay.update() or self._is_behind
        if self._is_behind:
            self.served = with_changes(self._before, self._replay.state, self._own)
            self._is_behind = False


def signature(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """What tells that a file was appended to, cut off or replaced; empty if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def with_changes(before: Served, state: LiveState, own: OwnNumbers | None) -> Served:
    """The tasks and shards after the changes of a state. ``own`` has the items' own numbers in the decoder."""
    items = next((opened.attributes.items for opened in before.tasks.values() if opened.attributes), None)
    entries = state.entries("items")
    after = items and with_items(items, [one.id for one in entries], [str(one.filters) for one in entries])
    tasks = {task: changed_task(opened, state, after) for task, opened in before.tasks.items()}
    shards = {
        name: (*shards, *new_shard(before.tasks["wscr" if name == "decoder" else name], state, name, own))
        for name, shards in before.shards.items()
    }
    return Served(tasks=with_other_pools(tasks), shards=shards)


def changed_task(opened: OpenTask, state: LiveState, items: ItemAttributes | None) -> OpenTask:
    """A task after the changes. ``items`` are all items after them."""
    name = pool_of(opened)
    entries, gone = state.entries(name), state.removed(name)
    pool = opened.pool.changed([one.id for one in entries], [one.text for one in entries], gone)
    rows = [opened.pool.row_of[one] for one in state.pools[name] if one in opened.pool.row_of]
    alive_M = np.ones(len(pool.ids), dtype=bool)
    alive_M[rows] = False
    attributes = opened.attributes
    if attributes is not None and items is not None:
        attributes = changed_attributes(attributes, state, items)
    return replace(
        opened,
        pool=pool,
        labels=opened.labels and live_labels(opened.labels, pool, alive_M),
        attributes=attributes,
        alive_M=alive_M if rows else None,
        generation=state.generation,
        sequence=state.sequence,
    )


def live_labels(labels: Labels, pool: Pool, alive_M: Mask) -> Labels | None:
    """The labels without texts that only replaced or deleted entries have; None if none is left."""
    gone = {pool.texts[row] for row in np.flatnonzero(~alive_M).tolist()}.intersection(labels.texts)
    if not gone:
        return labels
    gone -= {pool.texts[row] for row in pool.row_of.values()}
    kept = [at for at, text in enumerate(labels.texts) if text not in gone]
    return Labels(texts=[labels.texts[at] for at in kept], emb_ND=labels.emb_ND[kept]) if kept else None


def changed_attributes(attributes: PoolAttributes, state: LiveState, items: ItemAttributes) -> PoolAttributes:
    """The attributes of a pool after the changes, of which ``items`` are all items."""
    if attributes.are_items:
        return with_entries_of_items(attributes, items)
    first = len(attributes.items.ids)
    moved: dict[str, int | None] = dict.fromkeys(state.removed("items"))
    moved |= {one.id: first + at for at, one in enumerate(state.entries("items"))}
    return with_sets(attributes, items, moved, [one.filters for one in state.entries("sets")])


def new_shard(opened: OpenTask, state: LiveState, name: IndexName, own: OwnNumbers | None) -> tuple[Shard, ...]:
    """The shard of the new rows of an index; none without new rows."""
    entries = state.entries(pool_of(opened))
    if not entries:
        return ()
    emb_MD = np.stack([one.emb_D for one in entries])
    if name == "decoder" and own is not None:
        emb_MD = decoder_vectors(opened, entries, emb_MD, own)
    return (flat_shard(emb_MD, offset=len(opened.pool.ids)),)


def decoder_vectors(opened: OpenTask, entries: Sequence[Entry], emb_MD: Array, own: OwnNumbers) -> Array:
    """The vectors of new rows in the index of the decoder, shape (M, 2D+1).

    An item whose text did not change keeps the numbers that training gave it, so a new price costs it no rank. Every
    other item is scored by its embedding alone.
    """
    vectors = new_item_vectors(emb_MD)
    for at, entry in enumerate(entries):
        row = opened.pool.row_of.get(entry.id, own.num)
        if row < own.num and opened.pool.texts[row] == entry.text:
            vectors[at, emb_MD.shape[1] :] = own.of(row)
    return vectors


def pool_of(opened: OpenTask) -> LivePool:
    """Where the entries of a task are. Without sets OAR searches the items."""
    is_of_items = opened.task == "wscr" or (opened.attributes is not None and opened.attributes.are_items)
    return "items" if is_of_items else "sets"
