"""The columns of the answers. They read in pandas, DuckDB and Spark without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from r4t_ray.answers.log import QUERIES
from r4t_ray.errors import DataError
from r4t_ray.retrieval.response import RetrieveResponse

ITEM = pa.struct([("id", pa.string()), ("text", pa.string()), ("score", pa.float32()), ("direction", pa.int32())])
DIRECTION = pa.struct([("label", pa.string()), ("weight", pa.float64()), ("item_ids", pa.list_(pa.string()))])
COLUMNS = pa.schema([*QUERIES, ("items", pa.list_(ITEM)), ("directions", pa.list_(DIRECTION)), ("error", pa.string())])
"""One row for each query; docs/serving.md describes the columns."""


def answers_table(queries: Sequence[Mapping[str, Any]], answers: Sequence[RetrieveResponse | DataError]) -> pa.Table:
    """The answers as a table.

    Args:
        queries: For each answer the values of the columns QUERIES.
        answers: The answers. A query that has an error has neither items nor directions.
    """
    rows = [{**query, **_answer_columns(answer)} for query, answer in zip(queries, answers, strict=True)]
    return pa.Table.from_pylist(rows, COLUMNS)


def num_errors(folder: Path) -> int:
    """Queries with an error, over all files of a folder."""
    return int(ds.dataset(folder, schema=COLUMNS, format="parquet").count_rows(filter=pc.field("error").is_valid()))


def _answer_columns(answer: RetrieveResponse | DataError) -> dict[str, Any]:
    if isinstance(answer, DataError):
        return {"items": [], "directions": [], "error": str(answer)}
    return {"items": _items(answer), "directions": _directions(answer), "error": None}


def _items(answer: RetrieveResponse) -> list[dict[str, Any]]:
    """The items of an answer, best first."""
    return [{name: getattr(item, name) for name in ITEM.names} for item in answer.items]


def _directions(answer: RetrieveResponse) -> list[dict[str, Any]]:
    return [
        {"label": each.label, "weight": each.weight, "item_ids": [item.id for item in each.items]}
        for each in answer.directions
    ]
