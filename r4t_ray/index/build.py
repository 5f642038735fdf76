"""The build-index stage: builds a FAISS index over the pool of each task, in shards of contiguous rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.errors import ConfigError
from r4t_ray.files import write_json
from r4t_ray.index.index_types import IndexConfig
from r4t_ray.index.search import search_shards
from r4t_ray.index.shard import INDEX_FILE, Shard, load_shards, shard_file
from r4t_ray.progress import track
from r4t_ray.stages import parents_of
from r4t_ray.types import POOLS, TASKS, Array, Search, Task

RECALL_K = 10
NUM_RECALL_QUERIES = 256


def run(config: IndexConfig, workspace: Workspace, seed: int) -> Artifact:
    """Build the indexes of both tasks from ``encoder`` into the stage folder ``index``."""
    encoder = workspace.root / "encoder"

    def make(folder: Path) -> int:
        _, queries_BD = read_embedding_table(encoder / "queries.parquet")
        return sum(
            _build_task(config, encoder, folder / task, task, queries_BD=queries_BD, seed=seed) for task in TASKS
        )

    return workspace.build("index", config, seed, parents_of("index"), make)


def shard_offsets(num_rows: int, num_shards: int) -> list[int]:
    """The first row of each shard, followed by the number of rows. Sizes of shards differ by at most one.

    Raises:
        ConfigError: There are more shards than rows.

    >>> shard_offsets(7, 3)
    [0, 2, 4, 7]
    """
    if num_shards > num_rows:
        raise ConfigError("index.num_shards", str(num_shards), f"at most {num_rows} rows", "lower index.num_shards")
    return [number * num_rows // num_shards for number in range(num_shards + 1)]


def recall_against_flat(shards: Sequence[Shard], queries_BD: Array, k: int) -> float:
    """Mean recall of the shards: the share of the k nearest rows of an exhaustive search that they find."""
    exact = [replace(shard, index=shard.storage, type="flat") for shard in shards]
    found_BK, true_BK = (search_shards(each, Search(z_LD=queries_BD, num_hits=k))[1] for each in (shards, exact))
    return float((found_BK[:, :, None] == true_BK[:, None, :]).any(axis=1).mean())


def write_index(config: IndexConfig, emb_MD: Array, folder: Path, **facts: Any) -> dict[str, Any]:
    """Write the shards of an index over the rows of ``emb_MD``, and the settings that ``load_shard`` needs.

    Args:
        config: Type and number of the shards.
        emb_MD: The vectors, shape (M, D).
        folder: Is created.
        facts: Further entries of index.json.

    Returns:
        The content of index.json.
    """
    offsets = shard_offsets(len(emb_MD), config.num_shards)
    folder.mkdir(parents=True)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(config.threads)
    for number in track(range(config.num_shards), f"build {folder.name}"):
        rows_MD = np.ascontiguousarray(emb_MD[offsets[number] : offsets[number + 1]])
        faiss.write_index(config.build(rows_MD), str(folder / shard_file(number)))
    faiss.omp_set_num_threads(threads)
    size, dim = emb_MD.shape
    settings = {**config.model_dump(mode="json"), **facts, "size": size, "dim": dim, "offsets": offsets}
    write_json(folder / INDEX_FILE, settings)
    return settings


def _build_task(config: IndexConfig, encoder: Path, folder: Path, task: Task, *, queries_BD: Array, seed: int) -> int:
    ids, emb_MD = read_embedding_table(encoder / f"{POOLS[task]}.parquet")
    settings = write_index(config, emb_MD, folder, task=task, pool=POOLS[task])
    pq.write_table(pa.table({"id": pa.array(ids, pa.string())}), folder / "ids.parquet")
    sample_BD = _sample(queries_BD if len(queries_BD) else emb_MD, seed)
    del emb_MD  # the shards hold the vectors too
    recall = recall_against_flat(load_shards(folder), sample_BD, RECALL_K)
    write_json(folder / INDEX_FILE, {**settings, "recall_at_10": recall, "recall_queries": len(sample_BD)})
    return len(ids)


def _sample(rows_BD: Array, seed: int) -> Array:
    chosen = np.random.default_rng(seed).permutation(len(rows_BD))[:NUM_RECALL_QUERIES]
    return rows_BD[np.sort(chosen)]
