"""Stage 1: warm start, then Soft-GRPO by Ray Train around trl, with rollout actors that generate and score.

A model a task, as in arXiv 2603.06397: neither reward then moves the weights that the other is learnt in.
"""

from __future__ import annotations

import logging
import random
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue import Query, load_queries, recombined_queries
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import DataError, R4TError, read_error, write_error
from r4t_ray.folm.engine import engine_name
from r4t_ray.folm.metrics import METRICS, StepMetrics, read_metrics, write_metrics
from r4t_ray.folm.prompt import render_prompt
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.supervised import train_on_examples
from r4t_ray.folm.trainable import load_trainable, match_rates, model_source, skeleton
from r4t_ray.folm.warm_start import warm_start_examples
from r4t_ray.ray_train_runs import STAGING, drop_broken_state
from r4t_ray.types import Task

if TYPE_CHECKING:
    from r4t_ray.folm.rollout import RolloutPool

log = logging.getLogger(__name__)

FAULT = "fault.json"
"""Why a task's learner ended, where a person has to mend it."""


def run(config: FolmConfig, workspace: Workspace, seed: int) -> Artifact:
    """Train the fan-out models of a workspace.

    Writes ``folm/<task>/warm_start`` and ``folm/<task>/model`` (Hugging Face directories), ``folm/metrics.parquet`` and
    TensorBoard logs. A run that was stopped or killed goes on from its last checkpoint.
    """

    def make(folder: Path) -> int:
        engine_name(config.engine)  # an engine that cannot be had is refused before the long part
        for task in config.tasks:
            if not (folder / task / "warm_start").exists():
                warm_start(task, config, workspace, folder / task / "warm_start", seed)
        rows = reinforce(config, workspace, folder, seed)
        if rows:
            write_metrics(rows, folder / "metrics.parquet")
        for task in config.tasks:
            remove_scaffolding(folder / task)
        return sum(config.grpo_of(task).steps for task in config.tasks)

    return workspace.build("folm", config, seed, ("ingest", "embed", "index"), make, resumes=True)


def remove_scaffolding(folder: Path) -> None:
    """Remove what only a run that goes on needs: checkpoints, and the weights that rollout actors read."""
    from r4t_ray.folm.status import STATUS

    for scaffold in (folder / STAGING, folder / "weights", *folder.glob("trl/checkpoint-*")):
        shutil.rmtree(scaffold, ignore_errors=True)
    (folder / STATUS).unlink(missing_ok=True)


def warm_start(task: Task, config: FolmConfig, workspace: Workspace, out: Path, seed: int) -> None:
    """Train the base model on what the training sets spell out for a task, and write it to ``out``."""
    from transformers import AutoTokenizer

    base = resolve_model(config.base_model)
    tokenizer = AutoTokenizer.from_pretrained(**model_source(base))
    # A wrong expression is refused before the long part.
    match_rates(skeleton(base, config.lora), config.grpo_of(task).rates)
    model = load_trainable(base)
    stage = config.warm_start
    if stage.teaches(task):
        render = partial(_render, config=config, tokenizer=tokenizer)
        examples = warm_start_examples(task, workspace, stage, config.k, config.num_hits, render, seed)
        log.info("%s: warm start on %d examples", task, len(examples))
        history = train_on_examples(model, tokenizer, examples, stage.training, seed)
        log.info("%s: warm start: loss %.3f to %.3f", task, float(history[0]["loss"]), float(history[-1]["loss"]))
    half = out.with_name(f"{out.name}.partial")
    model.save_pretrained(half)
    tokenizer.save_pretrained(half)
    half.rename(out)


def _render(task: Any, query: str, config: FolmConfig, tokenizer: Any) -> str:
    return render_prompt(task, query, config.k, config.prompt_style, tokenizer)


def reinforce(config: FolmConfig, workspace: Workspace, folder: Path, seed: int) -> list[StepMetrics]:
    """Run Soft-GRPO from ``folder/<task>/warm_start`` to ``folder/<task>/model``; returns what it logged."""
    from r4t_ray.folm.rollout import RolloutPool

    schedules = {task: query_schedule(task, config, workspace, seed) for task in config.tasks}
    for task in [task for task, schedule in schedules.items() if not schedule]:
        shutil.copytree(folder / task / "warm_start", folder / task / "model", dirs_exist_ok=True)
        del schedules[task]
    if not schedules:
        return []
    if all((folder / task / METRICS).exists() for task in schedules):
        return [row for task in schedules for row in read_metrics(folder / task / METRICS)]
    pool = RolloutPool(workspace, config, folder / next(iter(schedules)) / "warm_start")
    try:
        return [
            row
            for task, schedule in schedules.items()
            for row in reinforce_task(task, config, folder / task, schedule, pool, seed)
        ]
    finally:
        pool.shutdown()


def reinforce_task(
    task: Task, config: FolmConfig, folder: Path, schedule: list[Query], pool: RolloutPool, seed: int
) -> list[StepMetrics]:
    """Run one task's Soft-GRPO on a pool of rollout actors, unless an earlier run came to its end."""
    if (folder / METRICS).exists():  # written last
        return read_metrics(folder / METRICS)
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from r4t_ray.folm.checkpoints import stop_on_sigterm

    settings = {
        "task": task,
        "config": config.model_dump(),
        "folder": str(folder),
        "schedule": schedule,
        "actors": pool.actors,
        "seed": seed,
    }
    trainer = TorchTrainer(
        learn,
        train_loop_config=settings,
        scaling_config=ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.worker_gpus > 0,
            resources_per_worker={"CPU": 1, "GPU": config.worker_gpus},
        ),
        run_config=RunConfig(
            name=task,
            storage_path=str(folder / STAGING),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=config.max_failures),
        ),
    )
    drop_broken_state(folder)
    (folder / FAULT).unlink(missing_ok=True)
    with stop_on_sigterm(folder):
        trainer.fit()
    return read_metrics(folder / METRICS)


def query_schedule(task: Task, config: FolmConfig, workspace: Workspace, seed: int) -> list[Query]:
    """The query of every group, in the order of use: training and recombined ones, all of them, reshuffled each pass.

    Raises:
        DataError: The task has no training query.
    """
    queries, grpo = load_queries(workspace, task, "train"), config.grpo_of(task)
    if not queries:
        raise DataError(
            "ingest/queries.parquet",
            f"no {task} training query",
            "at least one",
            f"add sets or leave {task} out of folm.tasks",
        )
    # Other queries than the warm start's, which are recombined with the seed itself.
    queries += recombined_queries(task, queries, grpo.num_recombined, seed + 1)
    rng, needed = random.Random(seed), grpo.steps * grpo.queries_per_step
    passes = -(-needed // len(queries))
    return [query for _ in range(passes) for query in rng.sample(queries, len(queries))][:needed]


def keep_vllm_out_of_trl() -> None:
    """Have trl, imported later, do without vLLM: it takes seconds of every start, and a learner does not sample."""
    from trl import import_utils

    import_utils.is_vllm_available = lambda min_version=None: False


def learn(settings: dict[str, Any]) -> None:
    """The Ray Train worker's loop: build the learner, train, and write the result.

    A fault that is a person's to mend comes again however often Ray restarts the workers: it is kept in a file, and the
    next start ends on it at once.
    """
    import ray.train
    from ray.train.huggingface.transformers import prepare_trainer

    keep_vllm_out_of_trl()
    from r4t_ray.folm.checkpoints import train_from_last_checkpoint
    from r4t_ray.folm.learner import build_learner

    fault = Path(settings["folder"]) / FAULT
    if fault.exists():
        raise read_error(fault)
    config = FolmConfig.model_validate(settings["config"])
    if config.learner_threads:
        torch.set_num_threads(config.learner_threads)
    try:
        learner = build_learner(config, settings)
        prepare_trainer(learner.trainer)
        train_from_last_checkpoint(learner)
    except R4TError as error:
        write_error(error, fault)
        raise
    if learner.num_batches == learner.grpo.steps:
        learner.write()
    ray.train.report({"steps": learner.num_batches})
