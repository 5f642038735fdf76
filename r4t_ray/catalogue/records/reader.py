"""Reads the records of a file, a folder of parts or a glob, whatever the form of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r4t_ray.catalogue.records.fields import Fields, Record
from r4t_ray.catalogue.records.parquet_files import parquet_records
from r4t_ray.catalogue.records.parts import Part, find_parts, form_of
from r4t_ray.catalogue.records.text_files import csv_records, json_records
from r4t_ray.catalogue.records.values import json_value

_READERS: dict[str, Callable[[Part, Fields], Iterator[Record]]] = {
    ".csv": csv_records,
    ".json": json_records,
    ".jsonl": json_records,
    ".ndjson": json_records,
    ".parquet": parquet_records,
}


def read_records(path: Path, fields: Fields) -> Iterator[Record]:
    """Read the records of a file, a folder of parts or a glob, one after another.

    Args:
        path: What ``find_parts`` takes.
        fields: The fields to read. A record has no others.

    Raises:
        DataError: A file is missing, has another form or cannot be read, a record lacks a required field, or a value
            has no form in JSON. The message names the file and the line or row.
    """
    for part in find_parts(path):
        for place, found in _READERS[form_of(part.path)](part, fields):
            yield place, _in_json(place, found, fields)


def given_records(values: Sequence[Mapping[str, Any]], fields: Fields, where: str) -> Iterator[Record]:
    """Records that a program gives, as ``read_records`` reads them. Their places are ``where.0``, ``where.1``.

    Raises:
        DataError: A record lacks a required field, or a value has no form in JSON.
    """
    for number, found in enumerate(values):
        fields.check(f"{where}.{number}", found)
        yield f"{where}.{number}", _in_json(f"{where}.{number}", found, fields)


def _in_json(place: str, found: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    record = {name: json_value(place, name, found[name]) for name in fields.plain if name in found}
    return record | {name: found[name] for name in fields.vectors if name in found}
