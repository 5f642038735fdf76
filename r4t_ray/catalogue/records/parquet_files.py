"""Reads parquet files batch by batch, and only the columns that are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray
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
            vectors = {name: _arrays(batch[name]) for name in fields.vectors if _holds_numbers(batch.schema, name)}
            for at, row in enumerate(_rows(part, batch.drop_columns(list(vectors)), number)):
                number += 1
                found = {name: arrays[at] for name, arrays in vectors.items()}
                yield f"{part.path} row {number}", {**part.fields, **row, **found}
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


def _holds_numbers(schema: pa.Schema, name: str) -> bool:
    """Whether there is such a column, and it is of lists of numbers."""
    inside = getattr(schema.field(name).type, "value_field", None) if name in schema.names else None
    return inside is not None and bool(pa.types.is_integer(inside.type) or pa.types.is_floating(inside.type))


def _arrays(lists: pa.Array) -> list[NDArray[Any] | None]:
    """Each list of numbers as an array, without a Python object for each number. Null among them becomes NaN."""
    is_list = lists.is_valid().to_numpy(zero_copy_only=False)
    lengths = np.where(is_list, pc.fill_null(pc.list_value_length(lists), 0), 0)
    pieces = np.split(lists.flatten().to_numpy(zero_copy_only=False), np.cumsum(lengths)[:-1])
    return [piece if valid else None for piece, valid in zip(pieces, is_list, strict=True)]
