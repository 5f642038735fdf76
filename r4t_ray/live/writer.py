"""Checks upserts and deletes against the workspace and the changes so far, and makes them durable."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, has_sets
from r4t_ray.errors import ArtifactError, RequestError
from r4t_ray.live.changes import Change
from r4t_ray.live.generations import generations, write_generation
from r4t_ray.live.log import ChangeLog, Start, unwritable
from r4t_ray.live.replay import Replay
from r4t_ray.new_entries import entries_of_pool, new_column_of_filters
from r4t_ray.types import Array, LivePool, Task

KEYS: dict[LivePool, tuple[Task, str]] = {"items": ("wscr", "item_id"), "sets": ("oar", "set_id")}
"""Pool -> the task of its new entries, and its column of ids in the catalogue."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A change on the disk: the generation under it, its number, how many entries it changed, and unknown ids."""

    generation: int
    sequence: int
    num: int
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Activated:
    """The generation that is served, the number of the last change, the generation that was written, and all."""

    generation: int
    sequence: int
    saved: int | None
    generations: tuple[int, ...]


class LiveWriter:
    """The one writer of live changes of a workspace. Calls must not overlap.

    Args:
        workspace: A workspace that is served.

    Raises:
        ArtifactError: Another process writes, the log was changed, or it was made for other artifacts.
        MachineError: The folder cannot be written.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._replay = Replay(workspace)
        self._log = ChangeLog(workspace, self._replay.reader)
        try:
            self._replay.update()
            self._has_sets = has_sets(workspace)
            self._before = {pool: ids_before(workspace, pool) for pool in KEYS}
        except BaseException:
            self._log.close()
            raise

    def upsert(self, pool: LivePool, new: Catalogue, emb_MD: Array) -> Written:
        """Add entries, or replace those with their ids.

        Args:
            pool: Where.
            new: The entries, from ``given_entries``.
            emb_MD: Their unit embeddings.

        Raises:
            RequestError: A set names an item that is not there, or the workspace has no sets.
            MachineError: The disk refuses. Then close this writer.
        """
        self._require_pool(pool)
        known = self._known("items")
        for at, row in enumerate(new.sets):
            missing = [name for name in row.item_ids if not known(name)]
            if missing:
                got = f"set {row.set_id!r:.80} with item {missing[0]!r:.80}, which no item has"
                raise RequestError(f"records.{at}", got, "item_ids of items that exist", "upsert the item first")
        task, _ = KEYS[pool]
        ids, texts = entries_of_pool(new, task)
        shown = [row.title for row in new.sets] if pool == "sets" else texts
        filters: list[str | tuple[str, ...]] = [row.item_ids for row in new.sets]
        filters += [json.dumps(item.attributes, ensure_ascii=False) for item in new.items]
        self._write(pool, ids, texts=tuple(shown), filters=tuple(filters), emb_MD=emb_MD)
        return self._written(len(ids))

    def delete(self, pool: LivePool, ids: Sequence[str]) -> Written:
        """Delete entries. Ids that no entry has are reported, and change nothing.

        Raises:
            RequestError: The workspace has no sets.
            MachineError: The disk refuses. Then close this writer.
        """
        self._require_pool(pool)
        is_known = self._known(pool)
        distinct = list(dict.fromkeys(ids))
        unknown = tuple(name for name in distinct if not is_known(name))
        known = [name for name in distinct if is_known(name)]
        if known:
            self._write(pool, known)
        return self._written(len(known), unknown)

    def snapshot(self) -> Activated:
        """Write the live entries as a new generation, from which an empty log begins; nothing if one has them all.

        Raises:
            MachineError: The disk refuses. Then close this writer. The log before stays.
        """
        if not self._is_changed():
            return self._activated(None)
        saved = self._save()
        self._begin(saved)
        return self._activated(saved)

    def activate(self, generation: int) -> Activated:
        """Serve the entries of another generation. Changes that no generation has are written as one before.

        Raises:
            RequestError: There is no such generation, or its files were changed. What is served stays.
            MachineError: The disk refuses. Then close this writer.
        """
        try:
            self._replay.load(generation)
        except ArtifactError as error:
            raise RequestError("generation", f"{generation}: {error.got}", error.expected, error.fix) from None
        saved = self._save() if self._is_changed() else None
        self._begin(generation)
        return self._activated(saved)

    def close(self) -> None:
        """Let another process write."""
        self._log.close()

    def _is_changed(self) -> bool:
        """Whether the log has changes that no generation has."""
        return self._replay.state.sequence != self._replay.start.sequence

    def _save(self) -> int:
        reader = self._replay.reader
        live = reader.path.parent
        generation = generations(live)[-1] + 1
        for pool, before in self._before.items():
            self._replay.state.forget_removed(pool, before)
        try:
            write_generation(live, self._replay.state, generation, reader.parents, reader.dim)
        except OSError as error:
            raise unwritable(live, error) from None
        return generation

    def _begin(self, generation: int) -> None:
        """Begin an empty log from a generation."""
        start = Start(generation=generation, sequence=self._replay.state.sequence)
        self._log.restart(self._replay.reader.first_line(start))
        self._replay.update()

    def _activated(self, saved: int | None) -> Activated:
        return activated(self._replay, saved)

    def _write(self, pool: LivePool, ids: Sequence[str], **fields: Any) -> None:
        change = Change(sequence=self._replay.state.sequence + 1, pool=pool, ids=tuple(ids), **fields)
        self._log.append(change)
        self._replay.update()

    def _written(self, num: int, unknown: tuple[str, ...] = ()) -> Written:
        state = self._replay.state
        return Written(generation=state.generation, sequence=state.sequence, num=num, unknown=unknown)

    def _known(self, pool: LivePool) -> Callable[[str], bool]:
        """Tells whether a pool has an id now."""
        changed, before = self._replay.state.pools[pool], self._before[pool]
        return lambda name: changed[name] is not None if name in changed else name in before

    def _require_pool(self, pool: LivePool) -> None:
        if pool == "sets" and not self._has_sets:
            raise RequestError(
                "pool", "sets, in a workspace whose catalogue has only items", "items", "send items in place of sets"
            )


def activated(replay: Replay, saved: int | None) -> Activated:
    """What a log serves, and the generation that was written before."""
    state, known = replay.state, generations(replay.reader.path.parent)
    return Activated(generation=state.generation, sequence=state.sequence, saved=saved, generations=tuple(known))


def ids_before(workspace: Workspace, pool: LivePool) -> frozenset[str]:
    """The ids of a pool without live changes: those of the catalogue and of `r4t add`."""
    task, column = KEYS[pool]
    table = pq.read_table(workspace.artifact("catalogue").file(f"{pool}.parquet"), columns=[column])
    added = new_column_of_filters(workspace, task)
    return frozenset(table[column].to_pylist()) | frozenset(added["id"].to_pylist() if added is not None else ())
