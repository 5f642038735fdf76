"""Reads a query log: what people asked, and which entries of the catalogue were right.

A record has a ``text``, and optionally ``query_id``, ``task``, ``item_ids``, ``set_ids`` and ``split``. Other fields
are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from r4t_ray.catalogue.catalogue import Catalogue, check_ids, check_some, check_texts
from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.catalogue.records import (
    Fields,
    Record,
    choice_field,
    id_field,
    optional_ids_field,
    read_records,
    text_field,
)
from r4t_ray.errors import DataError
from r4t_ray.types import SPLITS, TASKS, Split, Task

LOG_FIELDS = Fields(
    required=("text",), optional=("query_id", "task", "item_ids", "set_ids", "split"), lists=("item_ids", "set_ids")
)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One record of a query log.

    Attributes:
        place: Where it stands ("log.jsonl:3"), for messages.
        query_id: Its id; None if it has none.
        text: The query, with single spaces.
        tasks: The tasks that use it.
        item_ids: The relevant items; empty if the record names none.
        set_ids: The relevant sets; empty if the record names none.
        split: The split that the record names; None if it names none.
    """

    place: str
    query_id: str | None
    text: str
    tasks: tuple[Task, ...]
    item_ids: tuple[str, ...]
    set_ids: tuple[str, ...]
    split: Split | None


def read_log(path: Path, catalogue: Catalogue) -> list[LogLine]:
    """Read and check a query log.

    Args:
        path: A file, a folder of parts or a glob.
        catalogue: The catalogue whose items and sets the log may name.

    Raises:
        DataError: The file is missing, unreadable or empty; a text is empty; a task or split is unknown; an id breaks
            the rule, occurs twice or is not in the catalogue; or equal texts have different splits.
    """
    lines = [_read_line(record) for record in read_records(path, LOG_FIELDS)]
    check_some(str(path), "queries", lines)
    check_texts("text", ((line.text, line.place) for line in lines))
    with_id = [(line.query_id, line.place) for line in lines if line.query_id is not None]
    check_ids("query_id", [query_id for query_id, _ in with_id], [place for _, place in with_id])
    items, sets = {item.item_id for item in catalogue.items}, {row.set_id for row in catalogue.sets}
    for line in lines:
        _check_known(line.place, "item", line.item_ids, items)
        _check_known(line.place, "set", line.set_ids, sets)
    splits_of(lines)  # fails on different splits
    return lines


def about_items(lines: Sequence[LogLine]) -> list[LogLine]:
    """The records for a catalogue without sets, where each item is a set: the relevant sets are its items.

    They are records of open-ended abstract retrieval (OAR). Records of the other task alone are left out.
    """
    return [
        replace(line, tasks=("oar",), set_ids=tuple(dict.fromkeys((*line.set_ids, *line.item_ids))), item_ids=())
        for line in lines
        if "oar" in line.tasks
    ]


def no_sets(lines: Sequence[LogLine]) -> str:
    """What a person should know about a catalogue without sets and its log."""
    left_out = sum("oar" not in line.tasks for line in lines)
    wscr = f"; queries of the log with task: wscr are left out: {left_out}" if left_out else ""
    return f"without catalogue.sets oar searches the items, and wscr is off: no model is trained for it{wscr}"


def splits_of(lines: Sequence[LogLine]) -> Mapping[str, Split]:
    """The split of each normalised text: the one that a record names, or that the hash of the text determines.

    Raises:
        DataError: Two records with equal normalised texts name different splits.
    """
    named: dict[str, tuple[Split, str]] = {}
    for line in lines:
        if line.split is None:
            continue
        split, place = named.setdefault(normalise_title(line.text), (line.split, line.place))
        if split != line.split:
            raise DataError(
                line.place,
                f"split '{line.split}' of a text that {place} puts in '{split}'",
                "one split for each text (case, accents, brackets and punctuation do not count)",
                "give both the same split, or leave it out",
            )
    texts = dict.fromkeys(normalise_title(line.text) for line in lines)
    return {text: named[text][0] if text in named else split_of(text) for text in texts}


def _read_line(record: Record) -> LogLine:
    place, fields = record
    task = choice_field(place, fields, "task", TASKS)
    return LogLine(
        place=place,
        query_id=None if fields.get("query_id") is None else id_field(place, fields, "query_id"),
        text=" ".join(text_field(place, fields, "text").split()),
        tasks=TASKS if task is None else (task,),
        item_ids=optional_ids_field(place, fields, "item_ids"),
        set_ids=optional_ids_field(place, fields, "set_ids"),
        split=choice_field(place, fields, "split", SPLITS),
    )


def _check_known(place: str, kind: str, ids: Sequence[str], known: set[str]) -> None:
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise DataError(
            place,
            f"{kind} '{unknown[0]}', which no {kind} of the catalogue has",
            f"{kind}_ids of {kind}s that exist",
            "correct the id or remove it from the record",
        )
