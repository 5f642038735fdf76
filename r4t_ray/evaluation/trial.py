"""A trial: one task's held-out queries and methods, read from a workspace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from r4t_ray.artifacts import Workspace, read_manifest
from r4t_ray.catalogue import ItemSet, Query, load_queries, load_relevance
from r4t_ray.config import on_all_cpus, recorded_settings
from r4t_ray.decoder import load_pool_decoder
from r4t_ray.encoders import CachedEncoder, load_encoder, query_embeddings
from r4t_ray.evaluation.bench import Bench, Fits, Method, ModelFolder
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.folm import FanOutModel, FolmConfig, SharedEngine
from r4t_ray.folm.rollout.task_rewards import open_back_translation
from r4t_ray.folm.specific import open_specific, specific_settings
from r4t_ray.index import load_index
from r4t_ray.rewards import (
    BackTranslationConfig,
    BackTranslationReward,
    OARConfig,
    OARRewardConfig,
    SpecificReward,
    weights_of_eq_1,
)
from r4t_ray.types import Array, Rows, Task

if TYPE_CHECKING:
    from r4t_ray.diffusion import DiffusionRetriever

T = TypeVar("T")

BENCH_SETTINGS = ("k", "n", "num_candidates", "temperature", "solver", "num_steps", "guidance")
"""Settings of the evaluation that a bench takes as they are."""

MAX_VAL_QUERIES = 200
"""Validation queries on which methods tune their settings. More would lengthen the evaluation."""
MAX_VAL_QUERIES_OF_A_SLOW_REWARD = 16
"""The same for the back-translation reward, which takes about half a second per answer."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One task's methods and held-out queries.

    Attributes:
        task: The task.
        methods: Names of the methods, in the order of the tables.
        queries: The held-out queries.
        query_emb_BD: Their unit embeddings.
        relevant_rows: Pool rows of the relevant entries of each query. No method sees them. Empty sets for WSCR.
        make_bench: Makes a bench with an empty cache of embeddings. Each method gets a new one, so its time includes
            the texts that it embeds.
    """

    task: Task
    methods: tuple[str, ...]
    queries: Sequence[Query]
    query_emb_BD: Array
    relevant_rows: Sequence[frozenset[int]]
    make_bench: Callable[[], Bench]


def open_trial(
    config: EvaluationConfig,
    workspace: Workspace,
    task: Task,
    *,
    engine: SharedEngine,
    reward: OARRewardConfig,
    seed: int,
) -> Trial:
    """Read one task's held-out queries, training references and pool.

    Args:
        config: The settings of the evaluation.
        workspace: Holds the catalogue, its embeddings and its index, and the models of the methods.
        task: The task.
        engine: Runs the language models.
        reward: The reward of OAR (open-ended abstract retrieval) that the run was trained on.
        seed: Samples the held-out queries if ``config.max_queries`` is set.
    """
    index, emb_of = load_index(workspace, task), query_embeddings(workspace)
    train, val, test = (load_queries(workspace, task, split) for split in ("train", "val", "test"))
    val, test = draw(val, max_val_queries(task, reward), seed), draw(test, config.max_queries, seed)
    train_references = reference_rows(train, index.ids)
    fits, rewards = Fits(), bench_rewards(workspace, task, reward, index.ids)
    settings: dict[str, Any] = {name: getattr(config, name) for name in BENCH_SETTINGS}
    settings |= {"train_emb_BD": emb_of(train), "val_queries": val, "val_emb_BD": emb_of(val)}

    def make_bench() -> Bench:
        return Bench(
            task=task,
            index=index,
            **settings,
            train_references=train_references,
            fits=fits,
            **rewards,
            encode=CachedEncoder(load_encoder(workspace.root / "encoder" / "model")).encode,
            policy=lambda model: engine.at(model_path(workspace, model, task)),
            retriever=cache(lambda model: load_retriever(model_path(workspace, model, task))),
            decoder=cache(lambda: load_pool_decoder(workspace)),
        )

    return Trial(
        task=task,
        methods=methods_of(config, workspace, task),
        queries=test,
        query_emb_BD=emb_of(test),
        relevant_rows=relevant_rows(workspace, test, index.ids),
        make_bench=make_bench,
    )


def max_val_queries(task: Task, reward: OARRewardConfig) -> int:
    """Validation queries on which methods tune their settings."""
    is_slow = task == "oar" and isinstance(reward, BackTranslationConfig)
    return MAX_VAL_QUERIES_OF_A_SLOW_REWARD if is_slow else MAX_VAL_QUERIES


def bench_rewards(workspace: Workspace, task: Task, reward: OARRewardConfig, pool_ids: Sequence[str]) -> dict[str, Any]:
    """The rewards of a bench, by the names of its fields."""
    return {
        "reward": weights_of_eq_1(reward),
        "specific": specific_reward(workspace, task, reward),
        "back_translation": back_translation_reward(workspace, task, reward, pool_ids),
    }


def specific_reward(workspace: Workspace, task: Task, reward: OARRewardConfig) -> SpecificReward | None:
    """The OAR reward that is about the query; None in the other task, and for a run that was trained on eq. 1.

    A run that was trained on back-translation gets the default one, for methods that need many rewards per query.
    """
    if task == "wscr" or isinstance(reward, OARConfig):
        return None
    return open_specific(workspace, specific_settings(reward))


def back_translation_reward(
    workspace: Workspace, task: Task, reward: OARRewardConfig, pool_ids: Sequence[str]
) -> BackTranslationReward | None:
    """The reward of a language model; None in the other task, and for a run that was trained on another reward."""
    if task == "wscr" or not isinstance(reward, BackTranslationConfig):
        return None
    return open_back_translation(task, workspace, pool_ids, reward)


def methods_of(config: EvaluationConfig, workspace: Workspace, task: Task) -> tuple[str, ...]:
    """The chosen methods that exist for the task and whose model, if any, was trained for it."""

    def is_ready(method: Method) -> bool:
        if method.needs_references and not any(query.item_ids for query in load_queries(workspace, task, "train")):
            return False
        if method.stage == "folm":
            return (folm := folm_settings(workspace)).train and task in folm.tasks
        return method.model is None or model_path(workspace, method.model, task).is_dir()

    chosen = [METHODS[name] for name in METHODS if name in config.methods]
    return tuple(method.name for method in chosen if task in method.tasks and is_ready(method))


def model_path(workspace: Workspace, model: ModelFolder, task: Task) -> Path:
    """The folder of a model for one task."""
    return workspace.root / model.replace("<task>", task)


def load_retriever(folder: Path) -> DiffusionRetriever:
    """One task's diffusion retriever in evaluation mode."""
    from r4t_ray.diffusion import DiffusionRetriever

    return DiffusionRetriever.from_pretrained(folder).eval()


def folm_settings(workspace: Workspace) -> FolmConfig:
    """The training settings of the workspace's fan-out language model."""
    return recorded_settings(FolmConfig, read_manifest(workspace.root / "folm").config)


def load_policy(folder: Path, folm: FolmConfig) -> FanOutModel:
    """A fan-out language model on all CPUs, as the other methods are, so that their latencies can be compared."""
    return FanOutModel.load(folder, folm, on_all_cpus(folm.rollout))


def draw(queries: Sequence[T], max_queries: int | None, seed: int) -> list[T]:
    """At most ``max_queries`` of the queries, sampled by the seed, in their original order."""
    if max_queries is None or len(queries) <= max_queries:
        return list(queries)
    kept = np.random.default_rng(seed).choice(len(queries), size=max_queries, replace=False)
    return [queries[position] for position in sorted(kept.tolist())]


def reference_rows(queries: Sequence[Query], pool_ids: Sequence[str]) -> list[Rows]:
    """Pool rows of each query's reference set. Items outside the pool are left out."""
    row_of = {item_id: row for row, item_id in enumerate(pool_ids)}
    return [
        np.array([row_of[item_id] for item_id in query.item_ids if item_id in row_of], dtype=np.int64)
        for query in queries
    ]


def relevant_rows(
    workspace: Workspace, queries: Sequence[Query], pool_ids: Sequence[str], new_sets: Sequence[ItemSet] = ()
) -> list[frozenset[int]]:
    """Pool rows of the relevant sets of each query.

    It is empty for a query without relevant sets: a WSCR query (weakly supervised compositional retrieval), and a query
    that the catalogue does not have. Sets outside the pool are left out. ``new_sets`` are sets of the pool that were
    added after ingest.
    """
    row_of = {set_id: row for row, set_id in enumerate(pool_ids)}
    relevance = load_relevance(workspace, [query.query_id for query in queries], new_sets)
    return [
        frozenset(row_of[set_id] for set_id in relevance.get(query.query_id, ()) if set_id in row_of)
        for query in queries
    ]
