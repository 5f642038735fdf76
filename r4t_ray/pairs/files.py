"""The files that pairs are in: which queries each is of, what its rows hold, and that it is there whole or not at all.

A file's name and its queries follow from the settings alone. So a run that was ended goes on with the files that are
missing, and every (query_id, sample) is in one file. Ray Data's own checkpoints, which know a row by its id, do not
serve here: a query makes many rows, and those that were written would hide those that were not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.catalogue import Query
from r4t_ray.errors import EngineError
from r4t_ray.files import remove_leftovers, whole_file
from r4t_ray.types import Array, Task


class Asked(NamedTuple):
    """A query and how many fan-outs it gets."""

    query: Query
    num_samples: int


class Pairs(NamedTuple):
    """N pairs, column by column; ``components`` of the reward by name, ``Z`` with rows of unit length."""

    query_id: list[str]
    split: list[str]
    sample: list[int]
    weight: list[int]
    z_q_ND: Array
    Z_NLD: Array
    reward_N: Array
    components: dict[str, Array]
    item_ids: list[list[str]]
    sub_queries: list[list[str]]


def plan_files(task: Task, asked: Sequence[Asked], queries_per_file: int) -> list[dict[str, Any]]:
    """A row for each file: ``file``, ``task``, ``num_samples``, and of each query its id, text, split and ``item_ids``.

    Queries stay in order, but for those of another number of samples, which get files of their own.
    """
    files: list[dict[str, Any]] = []
    for num_samples in dict.fromkeys(each.num_samples for each in asked):
        queries = [each.query for each in asked if each.num_samples == num_samples]
        for start in range(0, len(queries), queries_per_file):
            of_file = queries[start : start + queries_per_file]
            files.append(
                {
                    "file": f"{task}/{len(files):06d}.parquet",
                    "task": task,
                    "num_samples": num_samples,
                    "query_id": [query.query_id for query in of_file],
                    "text": [query.text for query in of_file],
                    "split": [query.split for query in of_file],
                    "item_ids": [list(query.item_ids) for query in of_file],
                }
            )
    return files


def query_seed(query_id: str, seed: int) -> int:
    """The sampling seed of a query, 0 to 2^31 - 1: the same in every run, whatever is sampled beside it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {query_id}".encode()).digest()[:4]) >> 1


def pairs_table(pairs: Pairs) -> pa.Table:
    """Pairs as Arrow, as README lists the columns.

    ``z_q`` is of width D and ``Z`` of width L*D, row by row, both in float16. ``reward`` and ``components`` are null
    where there is none (NaN).
    """
    num_pairs, num_rows, dim = pairs.Z_NLD.shape
    components = [_nullable(values_N) for values_N in pairs.components.values()]
    columns = {
        "query_id": pa.array(pairs.query_id, pa.string()),
        "split": pa.array(pairs.split, pa.string()),
        "sample": pa.array(pairs.sample, pa.int32()),
        "weight": pa.array(pairs.weight, pa.int32()),
        "z_q": _fixed(pairs.z_q_ND, dim),
        "Z": _fixed(pairs.Z_NLD, num_rows * dim),
        "reward": _nullable(pairs.reward_N),
        "components": pa.StructArray.from_arrays(components, list(pairs.components)),
        "item_ids": pa.array(pairs.item_ids, pa.list_(pa.string())),
        "sub_queries": pa.array(pairs.sub_queries, pa.list_(pa.string())),
    }
    assert all(len(column) == num_pairs for column in columns.values())
    return pa.table(columns)


def _fixed(values: Array, width: int) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16).ravel()), width)


def _nullable(values_N: Array) -> pa.Array:
    return pa.array(values_N, pa.float32(), from_pandas=True)


def write_file(table: pa.Table, path: Path) -> int:
    """Write a parquet file that is there whole or not at all; gives its bytes. A file that is there stays as it is."""
    with whole_file(path, keep_existing=True) as partial:
        pq.write_table(table, partial, compression="zstd")
    return path.stat().st_size


def missing_files(files: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Those of ``plan_files`` that are not below ``folder`` yet; removes what an ended run left half written."""
    remove_leftovers(folder)
    return [file for file in files if not (folder / file["file"]).exists()]


def check_written(folder: Path) -> int:
    """Rows of one task's parquet files; raises EngineError when there are none."""
    count = sum(pq.read_metadata(file).num_rows for file in sorted(folder.glob("*.parquet")))
    if not count:
        raise EngineError(
            f"pairs/{folder.name}",
            "no fan-out that could be parsed and that pairs.keep lets through",
            "<queries>[...]</queries> in the answers",
            "train the model longer, or loosen pairs.keep",
        )
    return count
