"""Opening a workspace for serving: verified artifacts, their lineage, and the texts of a pool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from r4t_ray.additions import find_additions
from r4t_ray.artifacts import ADDITIONS, Workspace, read_manifest
from r4t_ray.diffusion import LABELS, serving_folder
from r4t_ray.diffusion.generation import sampler_with
from r4t_ray.diffusion.settings import NetworkConfig, SamplerConfig
from r4t_ray.errors import ArtifactError
from r4t_ray.serve.answer import Labels, Pool
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.schema import ModelInfo
from r4t_ray.types import TASKS, Task

SERVED_STAGES = ("ingest", "embed", "index", "diffusion")

POOL_COLUMNS: dict[Task, tuple[str, str, str]] = {
    "oar": ("sets.parquet", "set_id", "title"),
    "wscr": ("items.parquet", "item_id", "text"),
}
"""File of ingest that holds a task's pool, its column of ids, and the column that people read."""


def verify(workspace: Workspace) -> None:
    """Raise ArtifactError unless every file that serving reads is as its stage wrote it, all from the same inputs."""
    for stage in SERVED_STAGES:
        workspace.artifact(stage)
    workspace.check_lineage(SERVED_STAGES)
    find_additions(workspace)


def served_tasks(workspace: Workspace) -> tuple[Task, ...]:
    """The tasks that have both a trained retriever and an index, from the manifests' lists of files."""
    trained, indexed = (_folders(workspace, stage) for stage in ("diffusion", "index"))
    tasks = tuple(task for task in TASKS if task in trained and task in indexed)
    if not tasks:
        raise ArtifactError(
            str(workspace.root),
            f"retrievers for {sorted(trained)}, indexes for {sorted(indexed)}",
            f"at least one of {', '.join(TASKS)} with both",
            "run `r4t build-index` and `r4t train-diffusion`",
        )
    return tasks


def num_shards(workspace: Workspace, task: Task) -> int:
    """Shards of the task's index, from index.json."""
    path = workspace.root / "index" / task / "index.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["num_shards"])


def load_pool(workspace: Workspace, task: Task) -> Pool:
    """The pool of the stages in the row order of the index, with titles of sets for oar and texts of items for wscr."""
    file, identifier, text = POOL_COLUMNS[task]
    ids = pq.read_table(workspace.artifact("index").file(f"{task}/ids.parquet"), columns=["id"])["id"].to_pylist()
    table = pq.read_table(workspace.artifact("ingest").file(file), columns=[identifier, text])
    texts = dict(zip(table[identifier].to_pylist(), table[text].to_pylist(), strict=True))
    return Pool(ids, [texts[identifier] for identifier in ids])


def load_labels(workspace: Workspace, task: Task) -> Labels | None:
    """What directions of a task are called, or None where the pairs stage kept no sub-queries."""
    name = f"{task}/{LABELS}"
    artifact = workspace.artifact("diffusion")
    if name not in artifact.manifest.files:
        return None
    table = pq.read_table(artifact.file(name))
    emb_ND = np.stack(table["emb"].to_numpy()).astype(np.float32)
    return Labels(table["text"].to_pylist(), emb_ND)


def retriever_folder(workspace: Workspace, task: Task, args: AppArgs) -> Path:
    """What answers for a task under the sampler settings of ``args``."""
    return serving_folder(workspace.root / "diffusion" / task, args.solver, args.num_steps, args.guidance)


def describe(workspace: Workspace, task: Task, args: AppArgs, num_added: int) -> ModelInfo:
    """What answers for a task: contents of the artifacts, entries added, L, and the sampler's settings."""
    config = json.loads((retriever_folder(workspace, task, args) / "config.json").read_text(encoding="utf-8"))
    trained = SamplerConfig.model_validate(config["sampler"])
    sampler = sampler_with(trained, solver=args.solver, num_steps=args.num_steps, guidance=args.guidance)
    return ModelInfo(
        encoder=_fingerprint(workspace, "embed"),
        index=_fingerprint(workspace, "index"),
        diffusion=_fingerprint(workspace, "diffusion"),
        additions=_fingerprint(workspace, ADDITIONS) if num_added else None,
        num_added=num_added,
        num_rows=NetworkConfig.model_validate(config["network"]).num_rows,
        solver=sampler.solver,
        num_steps=sampler.num_steps,
        guidance=sampler.guidance,
    )


def _fingerprint(workspace: Workspace, stage: str) -> str:
    """First 12 hex digits of a stage's contents."""
    return read_manifest(workspace.root / stage).fingerprint[:12]


def _folders(workspace: Workspace, stage: str) -> set[str]:
    return {Path(name).parts[0] for name in read_manifest(workspace.root / stage).files}
