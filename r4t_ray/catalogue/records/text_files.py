"""Reads text files line by line: plain lines, JSON lines and CSV. All are UTF-8, and gzip'd if named .gz."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from r4t_ray.catalogue.records.fields import Fields, Record
from r4t_ray.catalogue.records.parts import Part
from r4t_ray.catalogue.records.values import parse_json
from r4t_ray.errors import DataError

MAX_CELL_CHARS = 2**24
"""Longest cell of a CSV file. A quote that is never closed ends there at the latest."""

OWN_LINES = "write each object on its own line; for one list of them: jq -c '.[]' items.json > items.jsonl"
"""What to do with JSON that is spread over lines, or that is one list."""
_OTHER_SEPARATORS = re.compile(r"[;\t|]")

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""What ``errors="surrogateescape"`` makes of a byte that is not UTF-8."""


def text_lines(path: Path, newline: str | None = None) -> Iterator[str]:
    """The lines of a text file, without its byte order mark.

    Args:
        path: A text file in UTF-8. It is gzip'd if its name ends with .gz.
        newline: None turns every line end into a line feed; "" keeps them.

    Raises:
        DataError: A line is not UTF-8, or the file cannot be opened or is cut off. The message names the line.
    """
    number = 0
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=newline) as stream:
            for number, line in enumerate(stream, 1):
                if not line.isascii() and _NOT_UTF8.search(line):
                    raise DataError(
                        f"{path}:{number}", "bytes that are not UTF-8", "text in UTF-8", "convert the file to UTF-8"
                    )
                yield line
    except (OSError, EOFError, zlib.error) as error:
        where = f"{path}:{number + 1}" if number else str(path)
        raise DataError(where, f"an unreadable file ({error})", "a whole file", "write or fetch it again") from None


def json_records(part: Part, fields: Fields) -> Iterator[Record]:
    """The objects of a file of JSON lines. Blank lines are skipped. Raises DataError."""
    for number, line in enumerate(text_lines(part.path), 1):
        if line.isspace():
            continue
        place = f"{part.path}:{number}"
        try:
            record = parse_json(line)
        except ValueError as error:
            fix = "correct the line" if number > 1 else OWN_LINES
            raise DataError(place, f"invalid JSON ({error})", "one JSON object a line", fix) from None
        if not isinstance(record, dict):
            raise DataError(place, f"a JSON {type(record).__name__}", "one JSON object a line", OWN_LINES)
        record = {**part.fields, **record}
        fields.check(place, record)
        yield place, record


def csv_records(part: Part, fields: Fields) -> Iterator[Record]:
    """The rows of a CSV file, whose first line has the names. Empty cells are null, and blank lines are skipped.

    Raises:
        DataError: A required column is missing, a used one is there twice, or a row has other cells than the first
            line. The message names the line on which the row begins.
    """
    names: list[str] | None = None
    for number, cells in _csv_rows(part.path):
        place = f"{part.path}:{number}"
        if names is None:
            names = [cell.strip() for cell in cells]
            _check_commas(place, names)
            fields.check(place, [*part.fields, *names])
            _check_once(place, names, fields)
        elif len(cells) != len(names):
            raise DataError(
                place,
                f"{len(cells)} cells",
                f"{len(names)}, as in the first line",
                'write one cell for each name, and quote a cell that holds a comma, a quote or a line break: "a, b"',
            )
        else:
            record = {name: cell or None for name, cell in zip(names, cells, strict=True)}
            yield place, {**part.fields, **record, **_split_cells(record, fields)}


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line on which each row begins, and its cells."""
    csv.field_size_limit(MAX_CELL_CHARS)
    rows = csv.reader(text_lines(path, newline=""), strict=True)
    number = 1
    try:
        for cells in rows:
            if cells:
                yield number, cells
            number = rows.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{number}", f"invalid CSV ({error})", "CSV", "close or double the quotes") from None


def _check_commas(place: str, names: list[str]) -> None:
    """Raise DataError if the first line is one name with another separator in it."""
    if len(names) == 1 and (found := _OTHER_SEPARATORS.search(names[0])):
        got = f"names separated by {found[0]!r}"
        raise DataError(place, got, "cells separated by commas", "write the file with commas")


def _check_once(place: str, names: list[str], fields: Fields) -> None:
    for name in fields.used:
        if names.count(name) > 1:
            raise DataError(place, f"the column '{name}' {names.count(name)} times", "it once", "rename the others")


def _split_cells(record: dict[str, str | None], fields: Fields) -> dict[str, list[str]]:
    """The lists of ids, which are separated by semicolons. A JSON list stays, because ``ids_field`` reads it."""
    cells = {name: record.get(name) for name in fields.lists}
    return {
        name: [entry.strip() for entry in cell.split(";") if entry.strip()]
        for name, cell in cells.items()
        if cell is not None and not cell.lstrip().startswith("[")
    }
