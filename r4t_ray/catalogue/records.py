"""Reads the records of a .jsonl or .parquet file, each with its place in the file for error messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.errors import DataError

Choice = TypeVar("Choice", bound=str)

Record = tuple[str, dict[str, Any]]
"""Place ("items.jsonl:3" or "items.parquet row 3") and fields."""


def read_records(path: Path, required: tuple[str, ...]) -> list[Record]:
    """Read all records of one file.

    Args:
        path: A .jsonl file (one JSON object per line; blank lines are skipped) or a .parquet file.
        required: Fields that every record must have.

    Raises:
        DataError: The file is missing, has another suffix or cannot be read, or a record lacks a field.
    """
    if not path.is_file():
        raise DataError(str(path), "no such file", "a .jsonl or .parquet file", "correct the path")
    if path.suffix == ".parquet":
        records = _parquet_records(path, required)
    elif path.suffix == ".jsonl":
        records = _jsonl_records(path)
    else:
        raise DataError(str(path), f"the suffix '{path.suffix}'", ".jsonl or .parquet", "convert or rename the file")
    for place, fields in records:
        _require_fields(place, list(fields), required)
    return records


def text_field(place: str, fields: dict[str, Any], name: str, default: str | None = None) -> str:
    """A text field. An integer is converted to text; ``default`` replaces a missing or null value.

    Raises:
        DataError: The value is neither text nor an integer.
    """
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(place, f"{name} = {value!r:.80}", "a text", f"write {name} as a string")
    return value


def ids_field(place: str, fields: dict[str, Any], name: str) -> tuple[str, ...]:
    """A field with a list of ids. Repeats are dropped.

    Raises:
        DataError: The value is not a list, or the list is empty.
    """
    value = fields.get(name)
    if not isinstance(value, list) or not value:
        raise DataError(place, f"{name} = {value!r:.80}", "a list of one or more ids", f"write {name} as a list")
    return tuple(dict.fromkeys(text_field(place, {name: entry}, name) for entry in value))


def optional_ids_field(place: str, fields: dict[str, Any], name: str) -> tuple[str, ...]:
    """A field with a list of ids; () if it is missing, null or an empty list. Repeats are dropped. Raises DataError."""
    return () if fields.get(name) in (None, []) else ids_field(place, fields, name)


def choice_field(place: str, fields: dict[str, Any], name: str, choices: Sequence[Choice]) -> Choice | None:
    """A field with one of ``choices``; None if it is missing or null.

    Raises:
        DataError: The value is something else.
    """
    value = fields.get(name)
    if value is not None and value not in choices:
        raise DataError(
            place, f"{name} = {value!r:.80}", f"one of {', '.join(choices)}", f"correct {name} or leave it out"
        )
    return value


def object_field(place: str, fields: dict[str, Any], name: str) -> dict[str, Any]:
    """A field with an object, or with a JSON object as text. A missing or null field gives {}.

    Raises:
        DataError: The value is something else.
    """
    value = fields.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except ValueError:
            value = fields[name]
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(place, f"{name} = {value!r:.80}", "a JSON object", f"write {name} as an object or leave it out")
    return value


def _jsonl_records(path: Path) -> list[Record]:
    records: list[Record] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise DataError(place, f"invalid JSON ({error})", "one JSON object a line", "correct the line") from None
        if not isinstance(fields, dict):
            raise DataError(place, f"a JSON {type(fields).__name__}", "a JSON object", "correct the line")
        records.append((place, fields))
    return records


def _parquet_records(path: Path, required: tuple[str, ...]) -> list[Record]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(str(path), f"unreadable parquet ({reason})", "a parquet file", "write the file again") from None
    _require_fields(str(path), table.column_names, required)
    return [(f"{path} row {number}", fields) for number, fields in enumerate(table.to_pylist(), 1)]


def _require_fields(place: str, have: list[str], required: tuple[str, ...]) -> None:
    for name in required:
        if name not in have:
            raise DataError(
                place,
                f"no field '{name}' (have: {', '.join(have) or 'none'})",
                f"the fields {', '.join(required)}",
                f"add '{name}' or rename the field that holds it",
            )
