"""Opening a workspace for retrieval: verified artifacts, their lineage, each task's pool, labels and shards."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from r4t_ray.artifacts import NEW_ENTRIES, OPERATING_POINTS, Workspace, read_manifest
from r4t_ray.decoder import index_folder, load_query_decoder, new_item_vectors
from r4t_ray.diffusion import LABELS, most_directions, serving_folder
from r4t_ray.diffusion.settings import NetworkConfig, SamplerConfig
from r4t_ray.errors import ArtifactError
from r4t_ray.index import Point, Shard, flat_shard, load_shards, read_index_file
from r4t_ray.new_entries import find_new_entries, load_new_entries
from r4t_ray.retrieval.filtering.attributes import ItemAttributes
from r4t_ray.retrieval.filtering.loading import pool_attributes, read_item_attributes
from r4t_ray.retrieval.open_task import Labels, OpenTask, Pool
from r4t_ray.retrieval.response import ModelInfo
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import TASKS, IndexName, Task

SERVED_STAGES = ("catalogue", "encoder", "index", "diffusion")

POOL_COLUMNS: dict[Task, tuple[str, str, str]] = {
    "oar": ("sets.parquet", "set_id", "title"),
    "wscr": ("items.parquet", "item_id", "text"),
}
"""Task -> file of the catalogue that holds its pool, the column of ids, and the column of texts in answers."""


def open_tasks(
    workspace: Workspace, settings: RetrievalSettings, with_index: bool
) -> tuple[dict[Task, OpenTask], dict[IndexName, tuple[Shard, ...]]]:
    """Verify the artifacts of a workspace and open every task that it can serve.

    Args:
        workspace: The experiment's artifacts.
        settings: Sampler settings, reported in the answers.
        with_index: Whether to load the shards of the index. The shard of the new entries of `r4t add` is always
            loaded, because its rows must agree with the pool, which is loaded here too.

    Returns:
        The tasks, and for each index the shards that were loaded.

    Raises:
        ArtifactError: A stage is missing, changed, or made from other inputs.
    """
    verify(workspace)
    tasks = served_tasks(workspace)
    items = read_item_attributes(workspace)
    opened = {task: open_task(workspace, task, settings, items) for task in tasks}
    loaded = {name: load_index_shards(workspace, name, with_index) for name in served_indexes(tasks)}
    return opened, loaded


def open_task(workspace: Workspace, task: Task, settings: RetrievalSettings, items: ItemAttributes) -> OpenTask:
    """One task of ``open_tasks``. The new entries follow the rows of the index in the pool."""
    pool, added = load_pool(workspace, task), load_new_entries(workspace, task)
    index = read_index_file(folder_of_index(workspace, task))
    if added is not None:
        pool = Pool(ids=[*pool.ids, *added.ids], texts=[*pool.texts, *added.texts])
    return OpenTask(
        task=task,
        pool=pool,
        model=describe(workspace, task, settings, num_new_entries=len(added.ids) if added else 0),
        labels=load_labels(workspace, task),
        decoder=load_query_decoder(workspace) if task == "wscr" else None,
        dim=index["dim"],
        index_type=index["type"],
        num_shards=len(index["offsets"]) - 1,
        mmr_lambda=settings.mmr_lambda,
        attributes=pool_attributes(workspace, task, pool.ids, items),
    )


def load_index_shards(workspace: Workspace, name: IndexName, with_index: bool) -> tuple[Shard, ...]:
    """The shards of an index, or none without ``with_index``, and the shard of the new entries if there are any."""
    task: Task = "wscr" if name == "decoder" else name
    added = load_new_entries(workspace, task)
    shards = load_shards(folder_of_index(workspace, name), tuned_point(workspace, name)) if with_index else ()
    if added is None:
        return shards
    emb_MD = new_item_vectors(added.emb_MD) if name == "decoder" else added.emb_MD
    return (*shards, flat_shard(emb_MD, offset=pool_size(workspace, task)))


def served_indexes(tasks: Sequence[Task]) -> tuple[IndexName, ...]:
    """The indexes that the tasks search."""
    return (*tasks, "decoder") if "wscr" in tasks else tuple(tasks)


def folder_of_index(workspace: Workspace, name: IndexName) -> Path:
    """The folder of an index; its artifact is verified. Raises ArtifactError."""
    if name == "decoder":
        workspace.artifact("decoder")
        return index_folder(workspace)
    return workspace.artifact("index").path / name


def tuned_point(workspace: Workspace, name: IndexName) -> Point | None:
    """The operating point of an index that `r4t build-index --target-recall` chose, or None if it chose none.

    Raises:
        ArtifactError: The points were chosen for another index or other retrievers than those that are here.
    """
    if not workspace.holds(OPERATING_POINTS):
        return None
    artifact = workspace.artifact(OPERATING_POINTS)
    if f"{name}.json" not in artifact.manifest.files:
        return None
    point: Point = json.loads(artifact.file(f"{name}.json").read_text(encoding="utf-8"))["operating_point"]
    return point


def verify(workspace: Workspace) -> None:
    """Raise ArtifactError if a file that serving reads was changed, or if its stages were made from other inputs."""
    for stage in SERVED_STAGES:
        workspace.artifact(stage)
    workspace.check_lineage(SERVED_STAGES)
    if "wscr" in served_tasks(workspace):
        workspace.artifact("decoder")
        workspace.check_lineage((*SERVED_STAGES, "decoder"))
    find_new_entries(workspace)


def served_tasks(workspace: Workspace) -> tuple[Task, ...]:
    """The tasks that have both a trained retriever and an index, per the files that the manifests list."""
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


def shard_rows(workspace: Workspace, name: IndexName) -> list[tuple[int, int]]:
    """First pool row of each shard of an index, and the row after its last, read from index.json."""
    return list(itertools.pairwise(read_index_file(folder_of_index(workspace, name))["offsets"]))


def pool_size(workspace: Workspace, task: Task) -> int:
    """Rows of the task's index, without new entries, read from index.json."""
    return int(read_index_file(folder_of_index(workspace, task))["size"])


def load_pool(workspace: Workspace, task: Task) -> Pool:
    """The pool without new entries, in the row order of the index: titles of sets for oar, texts of items for wscr."""
    file, identifier, text = POOL_COLUMNS[task]
    ids = pq.read_table(workspace.artifact("index").file(f"{task}/ids.parquet"), columns=["id"])["id"].to_pylist()
    table = pq.read_table(workspace.artifact("catalogue").file(file), columns=[identifier, text])
    texts = dict(zip(table[identifier].to_pylist(), table[text].to_pylist(), strict=True))
    return Pool(ids=ids, texts=[texts[identifier] for identifier in ids])


def load_labels(workspace: Workspace, task: Task) -> Labels | None:
    """Names for the directions of a task, or None if the pairs stage kept no sub-queries."""
    name = f"{task}/{LABELS}"
    artifact = workspace.artifact("diffusion")
    if name not in artifact.manifest.files:
        return None
    table = pq.read_table(artifact.file(name))
    emb_ND = np.stack(table["emb"].to_numpy()).astype(np.float32)
    return Labels(texts=table["text"].to_pylist(), emb_ND=emb_ND)


def retriever_folder(workspace: Workspace, task: Task, settings: RetrievalSettings) -> Path:
    """Folder of the model that answers: the student if there is one and ``settings`` set no sampler."""
    return serving_folder(workspace.root / "diffusion" / task, settings.solver, settings.num_steps, settings.guidance)


def served_sampler(trained: SamplerConfig, settings: RetrievalSettings) -> SamplerConfig:
    """The sampler settings of the trained model; values that ``settings`` set replace them."""
    from r4t_ray.diffusion.generation import sampler_with  # it loads torch, which a process with one shard never needs

    return sampler_with(trained, solver=settings.solver, num_steps=settings.num_steps, guidance=settings.guidance)


def describe(workspace: Workspace, task: Task, settings: RetrievalSettings, num_new_entries: int) -> ModelInfo:
    """The artifacts that answer for a task, the number of its new entries, the largest k, and the sampler."""
    config = json.loads((retriever_folder(workspace, task, settings) / "config.json").read_text(encoding="utf-8"))
    sampler = served_sampler(SamplerConfig.model_validate(config["sampler"]), settings)
    return ModelInfo(
        encoder=_fingerprint(workspace, "encoder"),
        index=_fingerprint(workspace, "index"),
        diffusion=_fingerprint(workspace, "diffusion"),
        decoder=_fingerprint(workspace, "decoder") if task == "wscr" else None,
        new_entries=_fingerprint(workspace, NEW_ENTRIES) if num_new_entries else None,
        num_new_entries=num_new_entries,
        num_rows=most_directions(NetworkConfig.model_validate(config["network"]), sampler.solver),
        solver=sampler.solver,
        num_steps=sampler.num_steps,
        guidance=sampler.guidance,
    )


def _fingerprint(workspace: Workspace, stage: str) -> str:
    """First 12 hex digits of a stage's contents."""
    return read_manifest(workspace.root / stage).fingerprint[:12]


def _folders(workspace: Workspace, stage: str) -> set[str]:
    return {Path(name).parts[0] for name in read_manifest(workspace.root / stage).files}
