"""The evaluate stage: every method answers the held-out queries of every task, and each answer is scored.

Each method runs three steps. It answers one query as a warm-up that is not timed, because the first call of an engine
or library is slow. Then the latency of its generation is measured. Then it answers all queries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.errors import DataError
from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.latency import time_generation
from r4t_ray.evaluation.method_answer import Answer, batches
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.report import write_report
from r4t_ray.evaluation.report.examples import Asked
from r4t_ray.evaluation.report.plane import sweep, write_plane
from r4t_ray.evaluation.report.plots import plot_quality_latency, plot_rewards
from r4t_ray.evaluation.results import Result, metric_rows
from r4t_ray.evaluation.scores import score_answers
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import Trial, folm_settings, load_policy, open_trial, reference_rows
from r4t_ray.files import write_json
from r4t_ray.folm import SharedEngine
from r4t_ray.measures import catalogue_share
from r4t_ray.measures.bootstrap import known_means
from r4t_ray.progress import track
from r4t_ray.retrieval.loading import load_pool
from r4t_ray.rewards import SpecificConfig, weights_of_eq_1
from r4t_ray.stages import parents_of
from r4t_ray.types import TASKS

QUERIES_A_CALL = 64

_logger = logging.getLogger(__name__)


def evaluate(config: EvaluationConfig, workspace: Workspace, seed: int) -> Artifact:
    """Build evaluation/ in the workspace; see ``r4t_ray.evaluation.run``."""
    stages = {stage for name in config.methods if (stage := METHODS[name].stage)}
    if any((workspace.root / stage / "wscr").is_dir() for stage in stages):
        stages.add("decoder")  # which decodes the directions of every model
    if workspace.holds("folm"):
        stages.add("folm")  # its settings name the reward, which every method is measured by

    def make(folder: Path) -> int:
        reward = folm_settings(workspace).reward.oar if "folm" in stages else SpecificConfig()
        engine = SharedEngine(lambda model: load_policy(model, folm_settings(workspace)))
        open_task = partial(open_trial, config, workspace, engine=engine, reward=reward, seed=seed)
        trials = [open_task(task) for task in TASKS]
        results = measure(config, trials, seed)
        rows = metric_rows(results, config.num_bootstrap, seed)
        write_json(folder / "metrics.json", rows)
        plots = plot_quality_latency(results, config.k, config.n, folder)
        curves = [curve for trial in trials if trial.task == "oar" and trial.queries for curve in sweep(trial)]
        plots += write_plane(results, curves, folder, config.num_bootstrap, seed)
        if "folm" in stages:
            plots += plot_rewards(workspace.root / "folm" / "metrics.parquet", folder)
        asked = {trial.task: asked_of(trial, workspace) for trial in trials if trial.queries}
        write_report(
            folder / "report.md",
            results,
            rows,
            config=config,
            reward=weights_of_eq_1(reward),
            plots=plots,
            asked=asked,
            seed=seed,
        )
        return len(rows)

    return workspace.build("evaluation", config, seed, [*parents_of("evaluation"), *sorted(stages)], make)


def measure(config: EvaluationConfig, trials: Sequence[Trial], seed: int) -> list[Result]:
    """Measure every method of every trial. A trial without held-out queries is skipped.

    The language models run last, because their shared engine would slow down the other methods.

    Raises:
        DataError: No trial has a held-out query and a method.
    """
    results = []
    for method in sorted(METHODS.values(), key=lambda method: method.stage == "folm"):
        for trial in trials:
            if method.name in trial.methods and trial.queries:
                results.append(try_method(config, trial, method, seed))
    if not results:
        raise DataError(
            "evaluation",
            ", ".join(f"{trial.task}: {len(trial.queries)} test queries, methods {trial.methods}" for trial in trials),
            "a task with held-out queries and at least one method",
            "use a larger catalogue or choose other methods",
        )
    return results


def asked_of(trial: Trial, workspace: Workspace) -> Asked:
    """A trial's queries with the rows that they want, and the texts of its pool."""
    pool = load_pool(workspace, trial.task)
    references = [frozenset(rows.tolist()) for rows in reference_rows(trial.queries, pool.ids)]
    return Asked(
        queries=[query.text for query in trial.queries],
        wanted=trial.relevant_rows if trial.task == "oar" else references,
        texts=pool.texts,
    )


def try_method(config: EvaluationConfig, trial: Trial, method: Method, seed: int) -> Result:
    """Time a method's generation, then answer all queries with it and score the answers."""
    bench = trial.make_bench()
    method.answer(bench, trial.queries[:1], trial.query_emb_BD[:1], seed)
    latency = time_batches(config, bench, trial, method, seed)
    answers: list[Answer] = []
    started = time.perf_counter()
    for block in track(list(batches(len(trial.queries), QUERIES_A_CALL)), f"{trial.task} {method.name}"):
        answers += method.answer(bench, trial.queries[block], trial.query_emb_BD[block], seed + block.start)
    answer_ms = (time.perf_counter() - started) * 1000.0 / len(trial.queries)
    values = score_answers(bench, answers, trial.queries, trial.query_emb_BD, trial.relevant_rows)
    totals = {"catalogue_share": catalogue_share([answer.retrieved for answer in answers], len(bench.index.ids))}
    means = {name: round(mean, 4) for name, mean in known_means(values).items()}
    _logger.info("%s %s: %s", trial.task, method.name, means | totals)
    return Result(
        task=trial.task,
        method=method.name,
        values=values,
        latency=latency,
        answer_ms=answer_ms,
        answers=answers,
        tuned=bench.fits.tuned.get(method.name),
        totals=totals,
    )


def time_batches(
    config: EvaluationConfig, bench: Bench, trial: Trial, method: Method, seed: int
) -> dict[str, NDArray[np.float64]]:
    """latency_ms_b* -> milliseconds of each repeat, shape (repeats,); empty for a method without ``generate``."""
    if method.generate is None:
        return {}
    generate = partial(method.generate, bench)
    return {
        f"latency_ms_b{batch}": time_generation(
            generate, trial.queries, trial.query_emb_BD, batch=batch, repeats=config.latency_repeats, seed=seed
        )
        for batch in config.latency_batches
    }
