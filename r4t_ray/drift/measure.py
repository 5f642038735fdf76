"""Drift of a workspace: compares new queries and a changed catalogue with the ones that its retrievers were trained on.

Nothing is trained, and the workspace is not changed. The workspace's encoder embeds the new entries, and they are added
to its pools in memory. The entries that `r4t add` wrote are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import (
    Catalogue,
    Query,
    RemovedIds,
    load_queries,
    read_new_entries,
    read_new_vectors,
    read_query_texts,
    read_removed_ids,
)
from r4t_ray.catalogue.queries.words import composed
from r4t_ray.diffusion import serving_folder
from r4t_ray.drift.compare import Drift, Situation, compare
from r4t_ray.drift.settings import DriftConfig
from r4t_ray.encoders import Encoder, load_encoder, query_embeddings
from r4t_ray.errors import ConfigError, DataError
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import draw, load_retriever, relevant_rows
from r4t_ray.index import POOLS, ShardedIndex, load_index
from r4t_ray.new_entries import embed_entries, entries_of_pool
from r4t_ray.types import TASKS, Array, Task

STAGES = ("catalogue", "encoder", "index", "diffusion")


@dataclass(frozen=True, kw_only=True)
class CatalogueChange:
    """The new entries of a catalogue with their own vectors, if any, and the ids of its removed entries."""

    new: Catalogue
    removed: RemovedIds
    vectors: Mapping[str, Array] = field(default_factory=dict)

    def pools(
        self, index: ShardedIndex, task: Task, encoder: Encoder
    ) -> tuple[ShardedIndex, ShardedIndex, frozenset[int]]:
        """A task's old pool, its current pool, and the rows of the old pool that were removed.

        If rows were removed, both pools use exhaustive search, so the index type has no effect on the comparison.
        """
        removed = self.removed.sets if POOLS[task] == "sets" else self.removed.items
        removed_rows = frozenset(row for row, name in enumerate(index.ids) if name in removed)
        then = kept = index
        if removed_rows:
            then = index.of_rows(range(index.size))
            kept = index.of_rows([row for row in range(index.size) if row not in removed_rows])
        ids, texts = entries_of_pool(self.new, task)
        now = kept.with_rows(ids, embed_entries(encoder, texts, self.vectors, task)) if ids else kept
        return then, now, removed_rows


def measure_drift(
    config: DriftConfig,
    evaluation: EvaluationConfig,
    workspace: Workspace,
    *,
    items: Path | None = None,
    sets: Path | None = None,
    removed_items: Path | None = None,
    removed_sets: Path | None = None,
    queries: Path | None = None,
    task: Task | None = None,
) -> list[Drift]:
    """Compare every task that has a retriever, or only ``task``.

    Args:
        config: Number of queries, and limits of the rule.
        evaluation: Budget, sampler and bootstrap, as in the evaluate stage.
        workspace: A workspace with a trained retriever. It is not changed.
        items: File of new items, in the format of a ``sets`` catalogue.
        sets: File of new sets, in the format of a ``sets`` catalogue.
        removed_items: File of removed item ids, one per line. A changed entry is listed as removed and as new.
        removed_sets: File of removed set ids, one per line.
        queries: New queries, as ``read_query_texts`` takes. A task of which it has no query is left out. Without it the
            held-out queries are used.
        task: The only task to compare; None compares all.

    Returns:
        One comparison per task.

    Raises:
        DataError: A file is unusable, or a task has no training or no held-out query.
        ConfigError: The task has no retriever.
        RequestError: The retriever emits fewer rows than the k directions of ``evaluation``.
        ArtifactError: A stage is missing or damaged, or was made from other inputs than its parents.
    """
    removed = read_removed_ids(workspace, removed_items, removed_sets)
    new = read_new_entries(workspace, items, sets, removed)
    change = CatalogueChange(new=new, removed=removed, vectors=read_new_vectors(workspace, items, sets))
    seed = workspace.artifact("diffusion").manifest.seed
    workspace.check_lineage(STAGES)
    asked = asked_texts(queries, trained_tasks(workspace, task))
    encoder = load_encoder(workspace.root / "encoder" / "model")
    situations = (
        open_situation(config, evaluation, workspace, name, change=change, texts=texts, encoder=encoder, seed=seed)
        for name, texts in asked.items()
    )
    return [compare(config, evaluation, situation, seed) for situation in situations]


def asked_texts(queries: Path | None, tasks: Sequence[Task]) -> dict[Task, list[str] | None]:
    """The new queries of each task that has some; None for every task without a file of new queries.

    Raises:
        DataError: The file is unusable, or has no query of these tasks.
    """
    if queries is None:
        return dict.fromkeys(tasks)
    asked: dict[Task, list[str] | None] = {name: texts for name in tasks if (texts := read_query_texts(queries, name))}
    if not asked:
        raise DataError(str(queries), f"no query of {' or '.join(tasks)}", "one or more", "choose another --task")
    return asked


def trained_tasks(workspace: Workspace, task: Task | None) -> list[Task]:
    """The tasks with a retriever, or ``task`` alone. Raises ConfigError if ``task`` has no retriever."""
    trained = [name for name in TASKS if (workspace.root / "diffusion" / name).is_dir()]
    if task is not None and task not in trained:
        raise ConfigError("--task", task, f"one of {', '.join(trained)} (they have a retriever)", "choose one of these")
    return trained if task is None else [task]


def open_situation(
    config: DriftConfig,
    evaluation: EvaluationConfig,
    workspace: Workspace,
    task: Task,
    *,
    change: CatalogueChange,
    texts: Sequence[str] | None,
    encoder: Encoder,
    seed: int,
) -> Situation:
    """Read one task's queries, pool and retriever, and embed the new entries.

    The retriever is the one that serves the task, which may be the student.
    """
    train, validation, test = (load_queries(workspace, task, split) for split in ("train", "val", "test"))
    _require_queries(workspace, task, num_train=len(train), num_test=len(test), needs_test=texts is None)
    sample, validation, test = (draw(each, config.max_queries, seed) for each in (train, validation, test))
    train_BD, sample_BD, validation_BD, test_BD = map(query_embeddings(workspace), (train, sample, validation, test))
    then, now, removed_rows = change.pools(load_index(workspace, task), task, encoder)
    asked = test if texts is None else queries_of(draw(texts, config.max_queries, seed), workspace, task)
    folder = workspace.root / "diffusion" / task
    return Situation(
        task=task,
        retriever=load_retriever(serving_folder(folder, evaluation.solver, evaluation.num_steps, evaluation.guidance)),
        then=then,
        now=now,
        removed_rows=removed_rows,
        train_emb_BD=train_BD,
        sample_emb_BD=sample_BD,
        validation_emb_BD=validation_BD,
        query_emb_BD=test_BD if texts is None else encoder.encode([query.text for query in asked]),
        sample_relevant=relevant_rows(workspace, sample, then.ids),
        query_relevant=relevant_rows(workspace, asked, now.ids, change.new.sets),
        queries="held-out" if texts is None else "new",
    )


def _require_queries(workspace: Workspace, task: Task, *, num_train: int, num_test: int, needs_test: bool) -> None:
    if not num_train or (needs_test and not num_test):
        raise DataError(
            f"{task} queries of {workspace.root}",
            f"{num_train} training and {num_test} held-out ones",
            "at least one of each, or new queries instead of the held-out ones",
            "name a file of queries with --queries",
        )


def queries_of(texts: Sequence[str], workspace: Workspace, task: Task) -> list[Query]:
    """New texts as queries. One that the catalogue has as a query of the task keeps its id; the others have no id."""
    id_of = {composed(query.text.lower()): query.query_id for query in load_queries(workspace, task)}
    keys = [" ".join(composed(text.lower()).split()) for text in texts]
    return [
        Query(query_id=id_of.get(key, ""), task=task, text=text, item_ids=(), split="test")
        for key, text in zip(keys, texts, strict=True)
    ]
