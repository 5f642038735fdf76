"""The parquet files of pairs: the queries in each file, the columns, and how a file is written whole.

The settings alone determine the name of a file and its queries. So a stopped run continues with the missing files, and
every (query_id, sample) is in one file. Ray Data's checkpoints cannot be used, because they identify a row by its id.
One query makes many rows with the same id, so its written rows would hide its missing rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.catalogue import Query
from r4t_ray.errors import EngineError
from r4t_ray.files import remove_leftovers, whole_file
from r4t_ray.stages import REFERENCE
from r4t_ray.types import Array, Task

PairSource = Literal["folm", "greedy", "reference"]
"""Where fan-outs come from: a policy of ``pairs.policy``, or the query's own reference."""


class PlannedQuery(NamedTuple):
    """A query and the number of fan-outs to sample for it."""

    query: Query
    num_samples: int


class Pairs(NamedTuple):
    """N pairs, column by column; ``components`` holds the parts of the reward, and rows of ``Z`` have unit length."""

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


def plan_files(
    task: Task,
    planned: Sequence[PlannedQuery],
    queries_per_file: int,
    *,
    source: PairSource = "folm",
    first_sample: int = 0,
) -> list[dict[str, Any]]:
    """One row for each file: its name, its task, its source, and the id, text, split and items of each query.

    Queries with the same number of samples share files, in order.

    Args:
        task: The task.
        planned: The queries.
        queries_per_file: Most queries in a file.
        source: Where their fan-outs come from. It is part of the name of files from references.
        first_sample: Number of the first fan-out of each query.
    """
    prefix = REFERENCE if source == "reference" else ""
    files: list[dict[str, Any]] = []
    for num_samples in dict.fromkeys(each.num_samples for each in planned):
        queries = [each.query for each in planned if each.num_samples == num_samples]
        for start in range(0, len(queries), queries_per_file):
            of_file = queries[start : start + queries_per_file]
            files.append(
                {
                    "file": f"{task}/{prefix}{len(files):06d}.parquet",
                    "task": task,
                    "source": source,
                    "first_sample": first_sample,
                    "num_samples": num_samples,
                    "query_id": [query.query_id for query in of_file],
                    "text": [query.text for query in of_file],
                    "split": [query.split for query in of_file],
                    "item_ids": [list(query.item_ids) for query in of_file],
                }
            )
    return files


def query_seed(query_id: str, seed: int) -> int:
    """The sampling seed of a query, 0 to 2^31 - 1; it depends on the id and the run's seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {query_id}".encode()).digest()[:4]) >> 1


def pairs_table(pairs: Pairs) -> pa.Table:
    """Pairs as an Arrow table; docs/synthesis.md lists the columns.

    ``z_q`` has width D. ``Z`` has width L*D and holds the rows one after another. Both are float16. ``reward`` and
    ``components`` are null where the value is NaN.
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
    """Write a parquet file whole and return its size in bytes; a file that exists is left as it is."""
    with whole_file(path, keep_existing=True) as partial:
        pq.write_table(table, partial, compression="zstd")
    return path.stat().st_size


def missing_files(files: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The rows of ``files`` whose file is not in ``folder`` yet; also removes half-written files of a stopped run."""
    remove_leftovers(folder)
    return [file for file in files if not (folder / file["file"]).exists()]


def check_written(folder: Path) -> int:
    """Number of pairs in a task's parquet files; raises EngineError when there are none."""
    count = sum(pq.read_metadata(file).num_rows for file in sorted(folder.glob("*.parquet")))
    if not count:
        raise EngineError(
            f"pairs/{folder.name}",
            "no fan-out that could be parsed and that pairs.select selected",
            "<queries>[...]</queries> in the answers",
            "train the model longer, or relax pairs.select",
        )
    return count
