"""The build-index stage: builds a FAISS index over the pool of each task, in shards of contiguous rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
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
from r4t_ray.index.index_types import INDEX_TYPES, IndexConfig, type_of
from r4t_ray.index.shard import INDEX_FILE, load_shards, shard_file
from r4t_ray.index.tuning import RECALL_K, queries_and_nearest, recall_against_flat, tune
from r4t_ray.progress import track
from r4t_ray.stages import parents_of
from r4t_ray.types import POOLS, TASKS, Array, Task

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


def build_shards(config: IndexConfig, emb_MD: Array, num_threads: int = 1) -> Iterator[faiss.Index]:
    """The index of each shard, in order, at the default operating point.

    The type is trained once, so all shards have the same centroids and codes. A copy of the trained index then gets the
    rows of each shard.

    Args:
        config: Type and number of the shards.
        emb_MD: The rows of the pool.
        num_threads: Threads of FAISS.
    """
    offsets = shard_offsets(len(emb_MD), config.num_shards)
    kind = INDEX_TYPES[type_of(config, *emb_MD.shape)]
    with faiss_threads(num_threads):
        trained = kind.train(emb_MD, max(end - start for start, end in pairwise(offsets)), config)
    for start, end in pairwise(offsets):
        with faiss_threads(num_threads):
            index = faiss.clone_index(trained)
            index.add(np.ascontiguousarray(emb_MD[start:end]))
        kind.apply(index, kind.default_point(index, config))
        yield index


@contextmanager
def faiss_threads(num: int) -> Iterator[None]:
    """FAISS has ``num`` threads within the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(num)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def write_index(config: IndexConfig, emb_MD: Array, folder: Path, **facts: Any) -> dict[str, Any]:
    """Write the shards of an index over the rows of ``emb_MD``, and the settings that ``load_shard`` needs.

    Args:
        config: Type and number of the shards.
        emb_MD: The vectors, shape (M, D).
        folder: Is created.
        facts: Further entries of index.json.

    Returns:
        The content of index.json. ``type`` is the type that was built, and ``operating_point`` its search parameters.
    """
    size, dim = emb_MD.shape
    kind, offsets = type_of(config, size, dim), shard_offsets(size, config.num_shards)
    folder.mkdir(parents=True)
    built = track(build_shards(config, emb_MD, config.threads), f"build {folder.name}", config.num_shards)
    for number, index in enumerate(built):
        faiss.write_index(index, str(folder / shard_file(number)))
    point = INDEX_TYPES[kind].default_point(index, config)
    found = {"type": kind, "operating_point": point, "size": size, "dim": dim, "offsets": offsets}
    settings = {**config.model_dump(mode="json"), **facts, **found}
    write_json(folder / INDEX_FILE, settings)
    return settings


def _build_task(config: IndexConfig, encoder: Path, folder: Path, task: Task, *, queries_BD: Array, seed: int) -> int:
    ids, emb_MD = read_embedding_table(encoder / f"{POOLS[task]}.parquet")
    settings = write_index(config, emb_MD, folder, task=task, pool=POOLS[task])
    pq.write_table(pa.table({"id": pa.array(ids, pa.string())}), folder / "ids.parquet")
    sample_BD = _sample(queries_BD if len(queries_BD) else emb_MD, seed)
    del emb_MD  # the shards hold the vectors too
    shards = load_shards(folder)
    if config.target_recall is not None:
        tried = tune(shards, queries_and_nearest(shards, sample_BD), config.target_recall)
        settings |= {"operating_points": [each.facts() for each in tried], "operating_point": tried[-1].point}
    recall = recall_against_flat(shards, sample_BD, RECALL_K)
    write_json(folder / INDEX_FILE, {**settings, "recall_at_10": recall, "recall_queries": len(sample_BD)})
    return len(ids)


def _sample(rows_BD: Array, seed: int) -> Array:
    chosen = np.random.default_rng(seed).permutation(len(rows_BD))[:NUM_RECALL_QUERIES]
    return rows_BD[np.sort(chosen)]
