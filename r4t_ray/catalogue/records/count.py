"""Counts the records of a table without reading them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.catalogue.records.parts import find_parts, form_of
from r4t_ray.catalogue.records.text_files import text_lines
from r4t_ray.errors import DataError


def count_records(path: Path) -> tuple[int, int]:
    """The number of records, and the bytes of their files.

    Records are rows, or lines that are not blank, without the header of a CSV file. A cell of a CSV file that has
    several lines counts as several records.

    Args:
        path: What ``find_parts`` takes.

    Raises:
        DataError: A file is missing, has another form or cannot be read.
    """
    files = [part.path for part in find_parts(path)]
    return sum(map(_count, files)), sum(file.stat().st_size for file in files)


def _count(path: Path) -> int:
    form = form_of(path)
    if form != ".parquet":
        return max(0, sum(not line.isspace() for line in text_lines(path)) - (form == ".csv"))
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(str(path), f"unreadable parquet ({reason})", "a parquet file", "write the file again") from None
