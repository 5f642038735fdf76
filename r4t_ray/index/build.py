"""The build-index stage: builds a FAISS index over the pool of each task, in shards of contiguous rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.files import write_json
from r4t_ray.index.index_types import IndexConfig
from r4t_ray.index.shard import INDEX_FILE, load_shards
from r4t_ray.index.tuning import RECALL_K, queries_and_nearest, recall_against_flat, tune
from r4t_ray.index.write import write_index
from r4t_ray.stages import parents_of
from r4t_ray.types import POOLS, TASKS, Array, Task

NUM_RECALL_QUERIES = 256


def run(config: IndexConfig, workspace: Workspace, seed: int) -> Artifact:
    """Build the indexes of both tasks from ``encoder`` into the stage folder ``index``.

    A build that was stopped continues with the missing shards. A large pool needs Ray (``write.is_on_ray``).

    Raises:
        MissingArtifactError: The stage embed has not run.
        R4TError: As ``write_index``.
    """
    encoder = workspace.root / "encoder"

    def make(folder: Path) -> int:
        _, queries_BD = read_embedding_table(encoder / "queries.parquet")
        return sum(
            _build_task(config, encoder, folder / task, task, queries_BD=queries_BD, seed=seed) for task in TASKS
        )

    return workspace.build("index", config, seed, parents_of("index"), make, resumes=True)


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
