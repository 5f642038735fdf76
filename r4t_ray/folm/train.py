"""Stage 1: a warm start, then Soft-GRPO with trl inside Ray Train. Rollout actors sample answers and score them.

Each task has its own model, as in arXiv 2603.06397, so that the reward of one task does not change the other's model.
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue import Query, load_queries, recombined_queries
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import DataError
from r4t_ray.files import whole_folder, write_json
from r4t_ray.folm.learner.job import LearnerJob
from r4t_ray.folm.learner.loop import FAULT, train_worker
from r4t_ray.folm.learner.lora import skeleton
from r4t_ray.folm.learner.metrics import METRICS, StepMetrics, read_metrics, write_metrics
from r4t_ray.folm.learner.optimizer import match_rates
from r4t_ray.folm.learner.status import OUTCOME, SETTINGS, STATUS
from r4t_ray.folm.outcome import outcome_lines
from r4t_ray.folm.policy.engines.factory import tell_engine
from r4t_ray.folm.policy.loading import load_trainable, model_source
from r4t_ray.folm.policy.prompt import Example, render_prompt
from r4t_ray.folm.policy.tokens import end_token, fitted_prompt
from r4t_ray.folm.rollout.pool import RolloutPool
from r4t_ray.folm.rollout.task_rewards import wscr_reward
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.specific import specific_settings
from r4t_ray.folm.validation import BEST, gain_line, validation_queries
from r4t_ray.folm.warm_start.examples import warm_start_examples
from r4t_ray.folm.warm_start.lengths import check_prompts, fit_answers
from r4t_ray.folm.warm_start.supervised import train_on_examples
from r4t_ray.machine.ray_train_runs import STAGING, drop_broken_state, own_cluster_asked
from r4t_ray.stages import parents_of
from r4t_ray.types import Task

_logger = logging.getLogger(__name__)


def run(config: FolmConfig, workspace: Workspace, seed: int) -> Artifact:
    """Train the fan-out language models (FOLM) of a workspace, one for each task.

    Writes ``folm/<task>/warm_start`` and ``folm/<task>/model`` (Hugging Face directories), ``folm/metrics.parquet`` and
    TensorBoard logs. With ``config.train: false`` it writes the settings alone. After a stop or a kill, the next call
    continues from the last checkpoint.
    """

    def make(folder: Path) -> int:
        for task in config.tasks:
            training_queries(task, workspace)  # fails early if there is none
        if not config.train:
            # Later stages read the settings, so a change of them has to change the files.
            write_json(folder / SETTINGS, config.model_dump(mode="json"))
            return 0
        tell_engine(config.engine)  # fails early if the engine is not installed
        check_lengths(config, workspace)
        for task in config.tasks:
            if not (folder / task / "warm_start").exists():
                warm_start(task, config, workspace, folder / task / "warm_start", seed)
        rows = reinforce(config, workspace, folder, seed)
        if rows:
            write_metrics(rows, folder / "metrics.parquet")
        lines = outcome_lines(config, workspace, rows, seed)
        for line in lines:
            _logger.warning("%s", line)
        if lines:
            (folder / OUTCOME).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for task in config.tasks:
            remove_scaffolding(folder / task)
        return len(rows)

    return workspace.build("folm", config, seed, parents_of("folm"), make, resumes=True)


def remove_scaffolding(folder: Path) -> None:
    """Remove the files that only an unfinished run needs: checkpoints, and weights that `model` does not hold."""
    for scaffold in (folder / STAGING, folder / "weights", folder / BEST, *folder.glob("trl/checkpoint-*")):
        shutil.rmtree(scaffold, ignore_errors=True)
    (folder / STATUS).unlink(missing_ok=True)


def check_lengths(config: FolmConfig, workspace: Workspace) -> None:
    """Raise ConfigError if the prompts of most queries are too long for the engine, and warn of the others."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(**model_source(resolve_model(config.base_model)))
    end_token(tokenizer)  # fails early if an answer could not end
    check_prompts(
        [
            render_prompt(task, query.text, config.k, config.prompt_style, tokenizer)
            for task in config.tasks
            for query in load_queries(workspace, task)
        ],
        tokenizer,
        max_completion_tokens=config.max_completion_tokens,
        max_model_len=config.engine.max_model_len,
        style=config.prompt_style,
    )


def warm_start(task: Task, config: FolmConfig, workspace: Workspace, out: Path, seed: int) -> None:
    """Train the base model on answers that are built from the training sets, and write it to ``out``."""
    from transformers import AutoTokenizer

    base = resolve_model(config.base_model)
    tokenizer = AutoTokenizer.from_pretrained(**model_source(base))
    match_rates(skeleton(base, config.lora), config.grpo[task].rates)  # fails early on a wrong expression
    model = load_trainable(base)
    stage = config.warm_start
    if stage.teaches(task):
        render = cache(partial(_render, config=config, tokenizer=tokenizer))
        examples = warm_start_examples(
            task,
            workspace,
            stage,
            reward=specific_settings(config.reward.oar),
            k=config.k,
            num_hits=config.num_hits,
            style=config.prompt_style,
            render=render,
            seed=seed,
        )
        examples = fit_answers(
            examples,
            tokenizer,
            k=config.k,
            max_completion_tokens=config.max_completion_tokens,
            max_length=stage.training.max_length,
            style=config.prompt_style,
        )
        teach(task, model, tokenizer, examples, config=config, seed=seed)
    with whole_folder(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def teach(
    task: Task, model: Any, tokenizer: Any, examples: Sequence[Example], *, config: FolmConfig, seed: int
) -> None:
    """Train ``model`` in place on the examples of a task. Without any it stays as it is, and a warning says so."""
    if not examples:
        _logger.warning("%s: there is no answer to teach, so RL starts from folm.base_model: add sets", task)
        return
    _logger.info("%s: warm start on %d examples", task, len(examples))
    training = config.warm_start.training
    history = train_on_examples(model, tokenizer, examples, training, seed, style=config.prompt_style)
    _logger.info("%s: warm start: loss %.3f to %.3f", task, float(history[0]["loss"]), float(history[-1]["loss"]))


def _render(task: Task, query: str, config: FolmConfig, tokenizer: Any) -> str:
    style, most = config.prompt_style, config.max_prompt_tokens
    return fitted_prompt(task, query, k=config.k, style=style, tokenizer=tokenizer, most=most)


def reinforce(config: FolmConfig, workspace: Workspace, folder: Path, seed: int) -> list[StepMetrics]:
    """Run Soft-GRPO from ``folder/<task>/warm_start`` to ``folder/<task>/model``; returns its metrics."""
    schedules = {task: query_schedule(task, config, workspace, seed) for task in config.tasks}
    for task in [task for task, schedule in schedules.items() if not schedule]:
        shutil.copytree(folder / task / "warm_start", folder / task / "model", dirs_exist_ok=True)
        del schedules[task]
    if not schedules:
        return []
    if all((folder / task / METRICS).exists() for task in schedules):
        return [row for task in schedules for row in read_metrics(folder / task / METRICS)]
    pool = RolloutPool(workspace, config, folder / next(iter(schedules)) / "warm_start")
    jobs = [
        LearnerJob(
            task=task,
            config=config,
            folder=folder / task,
            schedule=schedule,
            validation=validation_queries(task, workspace, config.grpo[task].num_validation),
            actors=pool.actors,
            seed=seed,
        )
        for task, schedule in schedules.items()
    ]
    try:
        return [row for job in jobs for row in reinforce_task(job)]
    finally:
        pool.shutdown()


def reinforce_task(job: LearnerJob) -> list[StepMetrics]:
    """Run one task's Soft-GRPO, unless an earlier run finished it; returns its metrics."""
    if (job.folder / METRICS).exists():  # written last
        return read_metrics(job.folder / METRICS)
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from r4t_ray.folm.learner.checkpoints import stop_on_sigterm

    learner = job.config.learner
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=learner.num,
            use_gpu=learner.gpus > 0,
            resources_per_worker={"CPU": learner.cpus, "GPU": learner.gpus},
        ),
        run_config=RunConfig(
            name=job.task,
            storage_path=str(job.folder / STAGING),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=job.config.max_failures),
        ),
    )
    drop_broken_state(job.folder)
    (job.folder / FAULT).unlink(missing_ok=True)
    with stop_on_sigterm(job.folder), own_cluster_asked():
        trainer.fit()
    if line := gain_line(job.task, job.folder):
        _logger.info("%s", line)
    return read_metrics(job.folder / METRICS)


def training_queries(task: Task, workspace: Workspace) -> list[Query]:
    """The training queries of a task.

    Raises:
        DataError: There is none.
    """
    queries = load_queries(workspace, task, "train")
    if not queries:
        raise DataError(
            "catalogue/queries.parquet",
            f"no {task} training query",
            "at least one",
            f"add sets or leave {task} out of folm.tasks",
        )
    return queries


def query_schedule(task: Task, config: FolmConfig, workspace: Workspace, seed: int) -> list[Query]:
    """The query of each group, in the order of use: shuffled passes over all training and recombined queries.

    Raises:
        DataError: The task has no training query.
    """
    queries, grpo = training_queries(task, workspace), config.grpo[task]
    # Only expected coverage rewards recombined queries of WSCR. The warm start recombines with ``seed``.
    if task == "oar" or wscr_reward(workspace, config).expected_share:
        queries += recombined_queries(workspace, task, grpo.num_recombined, seed + 1)
    rng, needed = random.Random(seed), grpo.num_steps * grpo.queries_per_step
    passes = -(-needed // len(queries))
    return [query for _ in range(passes) for query in rng.sample(queries, len(queries))][:needed]
