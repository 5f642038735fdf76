"""Drift of a workspace: new queries and a changed catalogue against what its retrievers were trained on.

Nothing is trained and the workspace stays as it is: new entries are embedded by its frozen encoder and searched beside
the pool that it has. What `r4t add` brought is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, RemovedIds, load_queries, read_new_entries, read_query_texts, read_removed_ids
from r4t_ray.diffusion import serving_folder
from r4t_ray.encoders import CachedEncoder, load_embeddings, load_encoder
from r4t_ray.errors import ConfigError, DataError
from r4t_ray.evaluation.drift_measures import Drift, Situation, compare
from r4t_ray.evaluation.evaluate import draw, load_retriever
from r4t_ray.evaluation.settings import DriftConfig, EvaluationConfig
from r4t_ray.index import POOLS, ShardedIndex, load_index
from r4t_ray.new_entries import entries_of_pool
from r4t_ray.types import TASKS, Array, Task

STAGES = ("catalogue", "encoder", "index", "diffusion")
Encode = Callable[[Sequence[str]], Array]


@dataclass(frozen=True)
class Changed:
    """What a catalogue gained and lost."""

    new: Catalogue
    gone: RemovedIds

    def pools(
        self, index: ShardedIndex, task: Task, encode: Encode
    ) -> tuple[ShardedIndex, ShardedIndex, frozenset[int]]:
        """A task's pools then and now, and the rows of the first that are gone.

        Where rows are gone both are searched exhaustively, so that the index is no difference.
        """
        gone = self.gone.sets if POOLS[task] == "sets" else self.gone.items
        gone_rows = frozenset(row for row, name in enumerate(index.ids) if name in gone)
        then = kept = index
        if gone_rows:
            then = index.of_rows(range(index.size))
            kept = index.of_rows([row for row in range(index.size) if row not in gone_rows])
        ids, texts = entries_of_pool(self.new, task)
        return then, kept.with_rows(ids, encode(texts)), gone_rows


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
    """Compare every task that has a retriever, or the one named.

    Args:
        config: How many queries are asked, and the rule's settings.
        evaluation: Budget, sampler and bootstrap, as the report's.
        workspace: A workspace with a trained retriever; only read.
        items: New items, as in a ``sets`` catalogue.
        sets: New sets, likewise.
        removed_items: Ids of items that are gone, one a line. An entry that has changed is gone and comes again.
        removed_sets: Likewise of sets.
        queries: New queries, one a line.
        task: The only task to compare.

    Raises:
        DataError: A file cannot be used, or there is no query to ask.
        ConfigError: The task has no retriever.
        RequestError: The retriever has fewer rows than the k directions of ``evaluation``.
        ArtifactError: The workspace is not whole, or its stages were made from other inputs.
    """
    gone = read_removed_ids(workspace, removed_items, removed_sets)
    changed = Changed(read_new_entries(workspace, items, sets, gone), gone)
    texts = read_query_texts(queries) if queries is not None else None
    seed = workspace.artifact("diffusion").manifest.seed
    workspace.check_lineage(STAGES)
    tasks = trained_tasks(workspace, task)
    encode = CachedEncoder(load_encoder(workspace.root / "encoder" / "model")).encode
    situations = (open_situation(config, evaluation, workspace, name, changed, texts, encode, seed) for name in tasks)
    return [compare(config, evaluation, situation, seed) for situation in situations]


def trained_tasks(workspace: Workspace, task: Task | None) -> list[Task]:
    """The tasks that have a retriever; raises ConfigError when ``task`` is not among them."""
    trained = [name for name in TASKS if (workspace.root / "diffusion" / name).is_dir()]
    if task is not None and task not in trained:
        raise ConfigError("--task", task, f"one of {', '.join(trained)}, which have a retriever", "name one of these")
    return trained if task is None else [task]


def open_situation(
    config: DriftConfig,
    evaluation: EvaluationConfig,
    workspace: Workspace,
    task: Task,
    changed: Changed,
    texts: Sequence[str] | None,
    encode: Encode,
    seed: int,
) -> Situation:
    """Read one task's retriever, or the student that answers for it, pool and queries, and embed what is new."""
    ids, emb_BD = load_embeddings(workspace, "queries")
    row_of = {query_id: row for row, query_id in enumerate(ids)}
    train, validation, test = (load_queries(workspace, task, split) for split in ("train", "val", "test"))
    sample, validation, test = (draw(each, config.max_queries, seed) for each in (train, validation, test))
    if not train or (texts is None and not test):
        raise DataError(
            f"{task} queries of {workspace.root}",
            f"{len(train)} training and {len(test)} held-out ones",
            "one of each, or new queries in the place of the held-out ones",
            "name a file of queries with --queries",
        )
    train_BD, sample_BD, validation_BD, test_BD = (
        emb_BD[[row_of[query.query_id] for query in each]] for each in (train, sample, validation, test)
    )
    then, now, gone_rows = changed.pools(load_index(workspace, task), task, encode)
    folder = workspace.root / "diffusion" / task
    return Situation(
        task=task,
        retriever=load_retriever(serving_folder(folder, evaluation.solver, evaluation.num_steps, evaluation.guidance)),
        then=then,
        now=now,
        gone_rows=gone_rows,
        train_emb_BD=train_BD,
        sample_emb_BD=sample_BD,
        validation_emb_BD=validation_BD,
        query_emb_BD=test_BD if texts is None else encode(draw(texts, config.max_queries, seed)),
        queries="held-out" if texts is None else "new",
    )
