"""Readers of files that a user adds to an existing workspace: new entries, ids of removed entries, new queries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue.catalogue import (
    Catalogue,
    Item,
    ItemSet,
    check_catalogue,
    check_ids,
    check_some,
    check_texts,
    each_item_as_set,
)
from r4t_ray.catalogue.datasets.sets import (
    EMBEDDING_FIELD,
    ITEM_FIELDS,
    SET_FIELDS,
    items_of,
    read_items,
    read_sets,
    sets_of,
    with_categories,
)
from r4t_ray.catalogue.ingest import has_sets, load_items, load_sets
from r4t_ray.catalogue.records import (
    Fields,
    choice_field,
    given_records,
    has_records,
    read_records,
    read_vectors,
    text_field,
    text_lines,
    vector_batches,
)
from r4t_ray.catalogue.records.places import Places
from r4t_ray.errors import DataError
from r4t_ray.types import TASKS, Array, Task

QUERY_FIELDS = Fields(required=("text",), optional=("task",))


@dataclass(frozen=True, kw_only=True)
class RemovedIds:
    """Ids of the entries that were removed from a catalogue."""

    items: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()


def read_new_entries(
    workspace: Workspace, items: Path | None, sets: Path | None, removed: RemovedIds = RemovedIds()
) -> Catalogue:
    """Read new entries from files in the format of ``SetsConfig``.

    Args:
        workspace: A workspace with a finished ingest stage.
        items: File, folder of parts or glob of new items; None for none.
        sets: The same for new sets. A set may name items of the workspace and new items.
        removed: Entries of the workspace that were removed. New entries may reuse their ids.

    Returns:
        The new items and sets alone. The sets have the categories of their items. In a workspace without sets each new
        item is a set too.

    Raises:
        DataError: A file is missing, unreadable or empty; an id is already in use or occurs twice; a text is empty; a
            set names a missing item; or no items or no sets remain.
    """
    item_places, set_places = Places(), Places()
    new_items: tuple[Item, ...] = ()
    new_sets: tuple[ItemSet, ...] = ()
    if items is not None:
        item_places, new_items = read_items(items)
        check_some(str(items), "items", new_items)
    if not has_sets(workspace):
        check_no_sets(workspace, sets)
        set_places, new_sets = item_places, each_item_as_set(new_items)
    elif sets is not None:
        set_places, new_sets = read_sets(sets)
        check_some(str(sets), "sets", new_sets)
    old_items = [item for item in load_items(workspace) if item.item_id not in removed.items]
    old_sets = [
        replace(row, item_ids=tuple(item_id for item_id in row.item_ids if item_id not in removed.items))
        for row in load_sets(workspace)
        if row.set_id not in removed.sets
    ]
    check_catalogue(
        Catalogue(items=(*old_items, *new_items), sets=(*old_sets, *new_sets)),
        f"{workspace.root} without the removed entries" if removed != RemovedIds() else str(workspace.root),
        [*(f"the workspace's item '{item.item_id}'" for item in old_items), *item_places],
        [*(f"the workspace's set '{row.set_id}'" for row in old_sets), *set_places],
    )
    named = with_categories(Catalogue(items=(*old_items, *new_items), sets=new_sets))
    return Catalogue(items=new_items, sets=named.sets)


def embedding_field(workspace: Workspace) -> str | None:
    """The field with the vectors of entries: ``catalogue.embedding_field`` of the workspace, by default the usual."""
    settings = workspace.artifact("catalogue").manifest.config.get("catalogue", {})
    name: str | None = settings.get("embedding_field", EMBEDDING_FIELD)
    return name


def read_new_vectors(workspace: Workspace, items: Path | None, sets: Path | None) -> dict[str, Array]:
    """The unit vectors that new entries bring along, in the order of ``read_new_entries``.

    Args:
        workspace: A workspace with a finished ingest stage.
        items: As for ``read_new_entries``.
        sets: As for ``read_new_entries``.

    Returns:
        "items" and "sets", each if its file has vectors -> shape (N, D). In a workspace without sets both have the
        vectors of the items.

    Raises:
        DataError: As ``read_vectors``.
    """
    name, found = embedding_field(workspace), {}
    for kind, path, key in (("items", items, "item_id"), ("sets", sets, "set_id")):
        parts = [batch.emb_ND for batch in read_vectors(path, key, name)] if path is not None and name else []
        if parts:
            found[kind] = np.concatenate(parts)
    if "items" in found and not has_sets(workspace):
        found["sets"] = found["items"]
    return found


def given_entries(
    pool: str, records: Sequence[Mapping[str, Any]], vector_field: str | None
) -> tuple[Catalogue, dict[str, Array]]:
    """New items or new sets that a program gives, in the form of the files of ``read_new_entries``.

    Args:
        pool: "items" or "sets".
        records: The records. Messages call them ``records.0``, ``records.1``.
        vector_field: The field with the vectors that records may bring along; None ignores them.

    Returns:
        The items or the sets, and their vectors as ``read_new_vectors`` gives them. Whether the items of a set exist is
        not checked.

    Raises:
        DataError: A field is missing or has another type, an id breaks the rule or occurs twice, a text is empty, or a
            vector cannot be used.
    """
    kind, key, text = (ITEM_FIELDS, "item_id", "text") if pool == "items" else (SET_FIELDS, "set_id", "title")
    vectors = (vector_field,) if vector_field else ()
    found = list(given_records(records, replace(kind, vectors=vectors), "records"))
    places = [place for place, _ in found]
    new_items = items_of(found)[1] if pool == "items" else ()
    new_sets = sets_of(found)[1] if pool == "sets" else ()
    entries = [(item.item_id, item.text) for item in new_items] + [(row.set_id, row.title) for row in new_sets]
    check_ids(key, [entry for entry, _ in entries], places)
    check_texts(text, zip((shown for _, shown in entries), places, strict=True))
    parts = [batch.emb_ND for batch in vector_batches(found, key, vector_field)] if vector_field else []
    return Catalogue(items=new_items, sets=new_sets), {pool: np.concatenate(parts)} if parts else {}


def read_query_texts(path: Path, task: Task) -> list[str]:
    """Read the queries of one task. A query that names no task counts for every task.

    Args:
        path: A text file with one query per line, or records with a ``text`` and optionally a ``task``: a file, a
            folder of parts or a glob. Surrounding spaces and blank lines are dropped.
        task: The task.

    Raises:
        DataError: The file is missing or unreadable, or has no query of any task; a text is empty; a task is unknown.
    """
    if not has_records(path.expanduser()):
        return _read_lines(path, "queries")
    named = [
        (choice_field(place, fields, "task", TASKS), text_field(place, fields, "text"))
        for place, fields in read_records(path, QUERY_FIELDS)
    ]
    check_some(str(path), "queries", named)
    return [text.strip() for name, text in named if name in (None, task)]


def read_ids(path: Path) -> list[str]:
    """Read the ids of a UTF-8 text file, one per line. Raises as ``read_query_texts``."""
    return _read_lines(path, "ids")


def read_removed_ids(workspace: Workspace, items: Path | None, sets: Path | None) -> RemovedIds:
    """Read the ids of removed entries from UTF-8 text files, one per line. None removes nothing.

    Raises:
        DataError: A file is missing, is not UTF-8 or has no id, or an id is not in the workspace.
    """
    if not has_sets(workspace):
        check_no_sets(workspace, sets)
        sets = items
    known_items = [item.item_id for item in load_items(workspace)] if items is not None else []
    known_sets = [row.set_id for row in load_sets(workspace)] if sets is not None else []
    return RemovedIds(items=_read_ids(items, known_items, "item"), sets=_read_ids(sets, known_sets, "set"))


def check_no_sets(workspace: Workspace, sets: Path | None) -> None:
    """Raise DataError if a file of sets is named for a workspace without sets."""
    if sets is not None:
        raise DataError(
            str(sets),
            f"sets for {workspace.root}, whose catalogue has only items",
            "a file of items",
            "name the file as --items or --removed-items, or ingest a catalogue with catalogue.sets",
        )


def _read_ids(path: Path | None, known: Collection[str], kind: str) -> frozenset[str]:
    if path is None:
        return frozenset()
    found = read_ids(path)
    unknown = sorted(set(found).difference(known))
    if unknown:
        more = f", and {len(unknown) - 1} more" if unknown[1:] else ""
        raise DataError(
            str(path),
            f"'{unknown[0]}', which no {kind} has{more}",
            f"ids of {kind}s of the workspace",
            "remove the line",
        )
    return frozenset(found)


def _read_lines(path: Path, what: str) -> list[str]:
    path = path.expanduser()
    if not path.is_file():
        raise DataError(str(path), "no such file", f"a text file of {what}, one per line", "correct the path")
    texts = [line.strip() for line in text_lines(path) if line.strip()]
    check_some(str(path), what, texts)
    return texts
