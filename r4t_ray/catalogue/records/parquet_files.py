"""Reads parquet files batch by batch, and only the columns that are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from r4t_ray.catalogue.records.fields import Fields, Record
from r4t_ray.catalogue.records.parts import Part
from r4t_ray.errors import DataError

BATCH_ROWS = 4096
BATCHES_AHEAD = 2

_NO_PYTHON_VALUE = (pa.ArrowException, ValueError, LookupError, ArithmeticError)
"""What pyarrow raises for a value that Python cannot hold: years after 9999, unknown time zones, keys twice, bytes in a
text column that are not UTF-8."""


def parquet_records(part: Part, fields: Fields) -> Iterator[Record]:
    """The rows of a parquet file.

    Raises:
        DataError: The file cannot be read, lacks a required column, or a value has no form in Python.
    """
    number = 0
    try:
        dataset = ds.dataset(str(part.path), format="parquet", filesystem=LocalFileSystem())
        names = dataset.schema.names
        fields.check(str(part.path), [*part.fields, *names])
        columns = [name for name in fields.used if name in names]
        batches = dataset.to_batches(columns=columns, batch_size=BATCH_ROWS, batch_readahead=BATCHES_AHEAD)
        for batch in batches:
            for row in _rows(part, batch, number):
                number += 1
                yield f"{part.path} row {number}", {**part.fields, **row}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last from names of columns
        where = f"{part.path} after row {number}" if number else str(part.path)
        reason = str(error).partition("\n")[0]
        raise DataError(where, f"unreadable parquet ({reason})", "a parquet file", "write the file again") from None


def _rows(part: Part, batch: pa.RecordBatch, before: int) -> Iterator[dict[str, Any]]:
    """The rows of a batch that ``before`` rows precede."""
    try:
        rows = batch.to_pylist(maps_as_pydicts="strict")
    except _NO_PYTHON_VALUE:
        rows = (_row(f"{part.path} row {before + at + 1}", batch.slice(at, 1)) for at in range(batch.num_rows))
    yield from rows


def _row(place: str, batch: pa.RecordBatch) -> dict[str, Any]:
    """The only row of a batch. Raises DataError with the name of the column that has no form in Python."""
    row: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[0].as_py(maps_as_pydicts="strict")
        except _NO_PYTHON_VALUE as error:
            raise DataError(
                place,
                f"a value of {name} ({column.type}) that cannot be read ({error})",
                "text, numbers, dates of the years 1 to 9999, lists, structs or maps with each key once",
                f"write {name} as text or leave it out",
            ) from None
    return row
