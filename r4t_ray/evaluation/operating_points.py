"""Operating points of the served indexes, chosen on directions that the workspace's retrievers generate.

They are an artifact of their own, because the stages that train read the index, and must not become stale when a
search parameter changes. Serving, `r4t query` and `r4t retrieve` use them. The stages keep the points of index.json.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from r4t_ray.artifacts import OPERATING_POINTS, Artifact, Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.config import Settings
from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.diffusion.generation import generate_each
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.files import write_json
from r4t_ray.index import load_shards, tune
from r4t_ray.retrieval.loading import folder_of_index, retriever_folder, served_tasks, verify
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import Array, Task

NUM_QUERIES = 64
NUM_DIRECTIONS = 10
"""Directions of a query. A retriever that generates more gives its first ones."""


class TuningInputs(Settings):
    """What the operating points are chosen for."""

    target_recall: float


def tune_served(workspace: Workspace, target_recall: float, seed: int) -> Artifact:
    """Choose the operating point of the pool of every task, and write ``operating_points/<task>.json``.

    Each file has the target, the chosen point, and for each point that was tried its recall of the ten nearest rows
    and its milliseconds for a direction. Nothing is done if they are there for the same target and models.

    Raises:
        ArtifactError: The workspace has no retriever, or cannot be served.
    """
    verify(workspace)

    def make(folder: Path) -> int:
        tasks = served_tasks(workspace)
        for task in tasks:
            shards = load_shards(folder_of_index(workspace, task))
            tried = tune(shards, directions(workspace, task, seed), target_recall)
            found = {"type": shards[0].type, "target_recall": target_recall, "operating_point": tried[-1].point}
            write_json(folder / f"{task}.json", found | {"operating_points": [asdict(each) for each in tried]})
        return len(tasks)

    inputs = TuningInputs(target_recall=target_recall)
    return workspace.build(OPERATING_POINTS, inputs, seed, ["catalogue", "encoder", "index", "diffusion"], make)


def directions(workspace: Workspace, task: Task, seed: int, num_queries: int = NUM_QUERIES) -> Array:
    """Directions of queries of the catalogue, NUM_DIRECTIONS of each query after another, unit rows.

    The queries are drawn by the seed. If there are fewer than ``num_queries``, all are used.
    """
    ids, emb_BD = read_embedding_table(workspace.root / "encoder" / "queries.parquet")
    row_of = {query_id: row for row, query_id in enumerate(ids)}
    rows = np.array([row_of[query.query_id] for query in load_queries(workspace, task)], dtype=np.int64)
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:num_queries])
    retriever = DiffusionRetriever.from_pretrained(retriever_folder(workspace, task, RetrievalSettings())).eval()
    z_q_BD = torch.from_numpy(np.ascontiguousarray(emb_BD[chosen]))
    z_BLD = generate_each(
        retriever, z_q_BD, retriever.sampler, seeds=range(len(chosen)), num_rows=NUM_DIRECTIONS
    ).numpy()[:, :NUM_DIRECTIONS]
    return np.ascontiguousarray(z_BLD.reshape(-1, z_BLD.shape[2]), dtype=np.float32)
