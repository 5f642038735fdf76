"""Writes rows in every form that the reading layer takes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]


def write_lines(path: Path, rows: Sequence[Row]) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_csv(path: Path, rows: Sequence[Row], join: Callable[[list[Any]], str] = json.dumps) -> Path:
    """Lists are joined by ``join``, objects are JSON, and missing values are empty cells."""
    opener = gzip.open if path.suffix == ".gz" else open
    names = list(dict.fromkeys(name for row in rows for name in row))
    with opener(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for row in rows:
            cells = [row.get(name) for name in names]
            cells = [join(cell) if isinstance(cell, list) else cell for cell in cells]
            writer.writerow([json.dumps(cell) if isinstance(cell, dict) else cell for cell in cells])
    return path


def write_parquet(path: Path, rows: Sequence[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def write_folder(path: Path, rows: Sequence[Row], suffix: str = ".parquet") -> Path:
    """Two parts and the hidden files that Spark leaves, one of them with a suffix of records."""
    path.mkdir()
    write = write_parquet if suffix == ".parquet" else write_lines
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        if part:
            write(path / f"part-{number:05d}{suffix}", part)
    for name in ("_SUCCESS", f"._part-00000{suffix}", f"_metadata{suffix}"):
        (path / name).write_bytes(b"not a record")
    return path


FORMS: dict[str, Callable[[Path, Sequence[Row]], Path]] = {
    "jsonl": lambda path, rows: write_lines(path.with_suffix(".jsonl"), rows),
    "gzip'd jsonl": lambda path, rows: write_lines(path.with_suffix(".jsonl.gz"), rows),
    "json": lambda path, rows: write_lines(path.with_suffix(".json"), rows),
    "ndjson": lambda path, rows: write_lines(path.with_suffix(".ndjson"), rows),
    "csv": lambda path, rows: write_csv(path.with_suffix(".csv"), rows),
    "csv with semicolons": lambda path, rows: write_csv(
        path.with_suffix(".csv"), rows, lambda ids: "; ".join(map(str, ids))
    ),
    "gzip'd csv": lambda path, rows: write_csv(path.with_suffix(".csv.gz"), rows),
    "parquet": lambda path, rows: write_parquet(path.with_suffix(".parquet"), rows),
    "folder of parquet": lambda path, rows: write_folder(path.with_suffix(".parquet"), rows),
    "folder of jsonl.gz": lambda path, rows: write_folder(path, rows, ".jsonl.gz"),
    "glob": lambda path, rows: write_folder(path, rows, ".jsonl") / "*.jsonl",
}
