"""Reads the vectors that records bring along, batch by batch, and checks that each is a direction of one space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from r4t_ray.catalogue.records.fields import SHOWN_CHARS, Fields, Record, id_field
from r4t_ray.catalogue.records.parts import Part, find_parts, form_of
from r4t_ray.catalogue.records.reader import read_records
from r4t_ray.catalogue.records.text_files import text_lines
from r4t_ray.catalogue.records.values import parse_json
from r4t_ray.errors import DataError
from r4t_ray.types import Array

BATCH_ROWS = 2048
UNIT_TOLERANCE = 1e-3
"""Largest distance from 1 of the length of a unit vector. Unit vectors in half precision stay below it."""


@dataclass(frozen=True, kw_only=True)
class VectorBatch:
    """Consecutive records: their ids, and their vectors, scaled to unit length, shape (N, D).

    ``num_scaled`` of the vectors have another length in the file.
    """

    ids: list[str]
    emb_ND: Array
    num_scaled: int


def read_vectors(path: Path, id_name: str, name: str) -> Iterator[VectorBatch]:
    """Read the ids and vectors of all records, in their order. Nothing is yielded if no record has a vector.

    Args:
        path: What ``find_parts`` takes.
        id_name: The field with the id.
        name: The field with the vector: a list of numbers, or a JSON list as text.

    Raises:
        DataError: Only some records have a vector; or a vector is no list of numbers, has another width than the first,
            is not finite, or is 0. The message names the file and the line or row.
    """
    if not any(_may_hold(part, name) for part in find_parts(path)):
        return
    yield from vector_batches(read_records(path, Fields(required=(id_name,), vectors=(name,))), id_name, name)


def vector_batches(records: Iterable[Record], id_name: str, name: str) -> Iterator[VectorBatch]:
    """As ``read_vectors``, of records that were read with the field ``name``."""
    records = iter(records)
    first: int | None = None
    before = 0
    while batch := list(islice(records, BATCH_ROWS)):
        vectors = [_numbers(place, name, fields.get(name)) for place, fields in batch]
        first = first if before else _width(vectors[0])
        for at, ((place, _), vector) in enumerate(zip(batch, vectors, strict=True), before):
            _check_width(place, name, _width(vector), first, at)
        before += len(batch)
        if first is not None:
            yield _unit_batch(batch, np.stack([each for each in vectors if each is not None]), id_name, name)


def _may_hold(part: Part, name: str) -> bool:
    """Whether a file may have the field: its schema has it, or a line has the word. Nothing is parsed."""
    if form_of(part.path) != ".parquet":
        return any(name in line for line in text_lines(part.path))
    try:
        return name in pq.read_schema(part.path).names
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return True  # reading its records says what is wrong


def _numbers(place: str, name: str, value: Any) -> NDArray[np.float64] | None:
    """The numbers of a vector; None for a missing, null or empty value. Raises DataError."""
    try:
        found = parse_json(value or "null") if isinstance(value, str) else value
        numbers = np.asarray(found)
    except ValueError:  # no JSON, or lists of several lengths
        raise _no_vector(place, f"{name} = {value!r:.{SHOWN_CHARS}}") from None
    if found is None:
        return None
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiu" or not numbers.size:
        shown = value if isinstance(value, str) else numbers.tolist()
        raise _no_vector(place, f"{name} = {shown!r:.{SHOWN_CHARS}}")
    return numbers.astype(np.float64)


def _width(vector: NDArray[np.float64] | None) -> int | None:
    return None if vector is None else len(vector)


def _check_width(place: str, name: str, width: int | None, first: int | None, before: int) -> None:
    """Raise DataError unless a record has a vector of the width ``first``, or none as the ``before`` records before it.

    ``first`` is None if the first record has no vector.
    """
    if (width is None) != (first is None):
        raise DataError(
            place,
            f"{'no vector' if width is None else 'a vector'} in '{name}', unlike the {before:,} records before it",
            f"'{name}' in every record or in none",
            "write the vectors that are missing; catalogue.embedding_field: null ignores all of them",
        )
    if width != first:
        raise DataError(
            place,
            f"{name} of width {width}",
            f"width {first}, as in the records before it",
            "embed all records with one model",
        )


def _unit_batch(batch: Sequence[Record], given_ND: NDArray[np.float64], id_name: str, name: str) -> VectorBatch:
    """The batch, with vectors of unit length. Raises DataError for a vector that has no direction."""
    with np.errstate(over="ignore"):
        norms_N = np.linalg.norm(given_ND, axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms_N) & (norms_N > 0)))
    if len(bad):
        fault = "is 0 everywhere" if norms_N[bad[0]] == 0 else "is null, not finite or too large somewhere"
        raise _no_vector(batch[bad[0]][0], f"{name} that {fault}")
    return VectorBatch(
        ids=[id_field(place, fields, id_name) for place, fields in batch],
        emb_ND=(given_ND / norms_N[:, None]).astype(np.float32),
        num_scaled=int((np.abs(norms_N - 1) > UNIT_TOLERANCE).sum()),
    )


def _no_vector(place: str, got: str) -> DataError:
    return DataError(
        place, got, "a list of finite numbers that are not all 0", "embed this record again, or correct the value"
    )
