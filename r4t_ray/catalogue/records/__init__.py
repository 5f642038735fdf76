"""The one reading layer for records: items, sets, query logs and new entries, in every form of file.

It streams. A record is made of JSON values, whatever its form was, and has its place in the file for messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from r4t_ray.catalogue.records.count import count_records
from r4t_ray.catalogue.records.fields import (
    Fields,
    Record,
    choice_field,
    id_field,
    ids_field,
    object_field,
    optional_ids_field,
    text_field,
)
from r4t_ray.catalogue.records.parquet_files import parquet_records
from r4t_ray.catalogue.records.parts import FORMS_IN_WORDS, Part, find_parts, form_of, sha256_of_records
from r4t_ray.catalogue.records.text_files import csv_records, json_records, text_lines
from r4t_ray.catalogue.records.values import json_value, parse_json

__all__ = [
    "FORMS_IN_WORDS",
    "Fields",
    "Record",
    "choice_field",
    "count_records",
    "id_field",
    "ids_field",
    "json_value",
    "object_field",
    "optional_ids_field",
    "parse_json",
    "read_records",
    "sha256_of_records",
    "text_field",
    "text_lines",
]

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
            yield place, {name: json_value(place, name, found[name]) for name in fields.used if name in found}
