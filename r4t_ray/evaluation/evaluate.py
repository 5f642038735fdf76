"""The evaluate stage: every method answers the held-out queries of every task, and what it answers is scored.

A method answers one query off the clock (a cold engine or library is nobody's cost), then its latency is taken, then
its answers, which are scored one by one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from r4t_ray.artifacts import Artifact, Workspace, read_manifest
from r4t_ray.catalogue import load_queries
from r4t_ray.config import recorded_settings
from r4t_ray.diffusion import STUDENT
from r4t_ray.encoders import CachedEncoder, load_embeddings, load_encoder
from r4t_ray.errors import DataError
from r4t_ray.evaluation.answers import Answer, Generative, Index, Query, batches
from r4t_ray.evaluation.bench import Bench, Retriever
from r4t_ray.evaluation.latency import time_generation
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.plots import plot_quality_latency, plot_rewards
from r4t_ray.evaluation.report import write_report
from r4t_ray.evaluation.results import Result, metric_rows
from r4t_ray.evaluation.scores import score
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.files import write_json
from r4t_ray.folm import FanOutModel, FolmConfig, SharedEngine
from r4t_ray.index import load_index
from r4t_ray.progress import track
from r4t_ray.rewards import OARConfig
from r4t_ray.stages import parents_of
from r4t_ray.types import TASKS, Array, Rows, Task

QUERIES_A_CALL = 64
PARENTS: dict[str, str] = {
    "zero_shot": "folm",
    "best_of_5": "folm",
    "best_of_5_oracle": "folm",
    "r4t_folm": "folm",
    "r4t_diffusion": "diffusion",
    "r4t_student": "diffusion",
}
"""Stages, beside ingest, embed and index, that a method reads."""
UNTIMED = frozenset({"best_of_5_oracle"})
"""Methods that nobody can deploy."""

Asked = TypeVar("Asked")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One task's methods and held-out queries, and a fresh bench for each method that is tried on them."""

    task: Task
    methods: tuple[str, ...]
    queries: Sequence[Query]
    query_emb_BD: Array
    index: Index
    make_bench: Callable[[], Bench]


def evaluate(config: EvaluationConfig, workspace: Workspace, seed: int) -> Artifact:
    """Build evaluation/ in the workspace; see ``r4t_ray.evaluation.run``."""
    needed = {PARENTS[method] for method in config.methods if method in PARENTS}
    parents = [*parents_of("evaluation"), *sorted(needed)]

    def make(folder: Path) -> int:
        reward = folm_settings(workspace).reward.oar if "folm" in needed else OARConfig()
        engine = SharedEngine(lambda model: FanOutModel.load(model, folm_settings(workspace)))
        trials = [open_trial(config, workspace, task, engine, reward, seed) for task in TASKS]
        results = measure(config, trials, seed)
        training = workspace.root / "folm" / "metrics.parquet" if "folm" in needed else None
        return write_results(config, reward, results, folder, training, seed)

    return workspace.build("evaluation", config, seed, parents, make)


def measure(config: EvaluationConfig, trials: Sequence[Trial], seed: int) -> list[Result]:
    """Try every method of every trial; a trial without held-out queries is left out.

    Language-model rows come last and together: they share one engine, which then weighs on no other row.

    Raises:
        DataError: No trial has a held-out query and a method.
    """
    results = []
    for name in sorted(METHODS, key=lambda name: PARENTS.get(name) == "folm"):
        for trial in trials:
            if name in trial.methods and trial.queries:
                results.append(try_method(config, trial, name, seed))
    if not results:
        raise DataError(
            "evaluation",
            ", ".join(f"{trial.task}: {len(trial.queries)} test queries, methods {trial.methods}" for trial in trials),
            "a task with held-out queries and a method that is for it",
            "bring a larger catalogue, or name other methods",
        )
    return results


def try_method(config: EvaluationConfig, trial: Trial, name: str, seed: int) -> Result:
    """Time the method's generation, let it answer, score its answers."""
    bench = trial.make_bench()
    method = METHODS[name].build(bench)
    method.fan_out(trial.queries[:1], trial.query_emb_BD[:1], seed)
    latency = {}
    if isinstance(method, Generative) and name not in UNTIMED:
        for batch in config.latency_batches:
            latency[f"latency_ms_b{batch}"] = time_generation(
                method, trial.queries, trial.query_emb_BD, batch, config.latency_repeats, seed
            )
    answers: list[Answer] = []
    started = time.perf_counter()
    for block in track(list(batches(len(trial.queries), QUERIES_A_CALL)), f"{trial.task} {name}"):
        answers += method.fan_out(trial.queries[block], trial.query_emb_BD[block], seed + block.start)
    answer_ms = (time.perf_counter() - started) * 1000.0 / len(trial.queries)
    scored = [
        score(trial.task, answer, query, z_q_D, trial.index, config.k, config.n, bench.reward)
        for answer, query, z_q_D in zip(answers, trial.queries, trial.query_emb_BD, strict=True)
    ]
    values = {measure: np.array([row[measure] for row in scored], dtype=np.float64) for measure in scored[0]}
    logger.info("%s %s: %s", trial.task, name, {key: round(float(value.mean()), 4) for key, value in values.items()})
    return Result(trial.task, name, values, latency, answer_ms)


def open_trial(
    config: EvaluationConfig, workspace: Workspace, task: Task, engine: SharedEngine, reward: OARConfig, seed: int
) -> Trial:
    """Read one task's held-out queries, training references and pool."""
    index = load_index(workspace, task)
    ids, emb_BD = load_embeddings(workspace, "queries")
    row_of = {query_id: row for row, query_id in enumerate(ids)}
    train = load_queries(workspace, task, "train")
    test = draw(load_queries(workspace, task, "test"), config.max_queries, seed)
    encoder_folder = workspace.root / "encoder" / "model"

    def make_bench() -> Bench:
        # A cache a method: one that embeds much pays for it, whichever came before.
        return Bench(
            task=task,
            index=index,
            k=config.k,
            n=config.n,
            train_emb_BD=emb_BD[[row_of[query.query_id] for query in train]],
            train_references=reference_rows(train, index.ids),
            reward=reward,
            num_candidates=config.num_candidates,
            mmr_lambda=config.mmr_lambda,
            temperature=config.temperature,
            solver=config.solver,
            num_steps=config.num_steps,
            guidance=config.guidance,
            encode=CachedEncoder(load_encoder(encoder_folder)).encode,
            policy=lambda name: engine.at(workspace.root / "folm" / task / name),
            retriever=lambda name: load_retriever(workspace.root / "diffusion" / task / name),
        )

    test_emb_BD = emb_BD[[row_of[query.query_id] for query in test]]
    return Trial(task, methods_for(config, workspace, task), test, test_emb_BD, index, make_bench)


def methods_for(config: EvaluationConfig, workspace: Workspace, task: Task) -> tuple[str, ...]:
    """The methods asked for that the task has and whose models were trained for it."""
    retriever = workspace.root / "diffusion" / task

    def is_trained(name: str) -> bool:
        if PARENTS.get(name) == "folm":
            return task in folm_settings(workspace).tasks
        return {"r4t_diffusion": retriever, "r4t_student": retriever / STUDENT}.get(name, workspace.root).is_dir()

    return tuple(
        name for name, method in METHODS.items() if name in config.methods and task in method.tasks and is_trained(name)
    )


def draw(queries: Sequence[Asked], max_queries: int | None, seed: int) -> list[Asked]:
    """At most ``max_queries`` of the queries, drawn by the seed, in their order."""
    if max_queries is None or len(queries) <= max_queries:
        return list(queries)
    kept = np.random.default_rng(seed).choice(len(queries), size=max_queries, replace=False)
    return [queries[position] for position in sorted(kept.tolist())]


def reference_rows(queries: Sequence[Query], pool_ids: Sequence[str]) -> list[Rows]:
    """Pool rows of each query's reference; items outside the pool are left out."""
    row_of = {item_id: row for row, item_id in enumerate(pool_ids)}
    return [
        np.array([row_of[item_id] for item_id in query.item_ids if item_id in row_of], dtype=np.int64)
        for query in queries
    ]


def folm_settings(workspace: Workspace) -> FolmConfig:
    """The settings that folm was trained with."""
    return recorded_settings(FolmConfig, read_manifest(workspace.root / "folm").config)


def load_retriever(folder: Path) -> Retriever:
    """One task's diffusion retriever, ready to sample."""
    from r4t_ray.diffusion import DiffusionRetriever

    return DiffusionRetriever.from_pretrained(folder).eval()


def write_results(
    config: EvaluationConfig,
    reward: OARConfig,
    results: Sequence[Result],
    folder: Path,
    training: Path | None,
    seed: int,
) -> int:
    """Write metrics.json, report.md and the plots; returns the number of rows of metrics.json."""
    rows = metric_rows(results, config.num_bootstrap, seed)
    write_json(folder / "metrics.json", rows)
    plots = plot_quality_latency(results, config.k, config.n, folder)
    if training is not None:
        plots += plot_rewards(training, folder)
    write_report(config, reward, results, rows, plots, folder / "report.md", seed)
    return len(rows)
