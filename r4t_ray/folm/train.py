"""Stage 1: warm start, then Soft-GRPO by Ray Train around trl, with rollout actors that generate and score."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import DataError
from r4t_ray.folm.prompt import render_prompt
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.supervised import train_on_examples
from r4t_ray.folm.warm_start import warm_start_examples

log = logging.getLogger(__name__)


def run(config: FolmConfig, workspace: Workspace, seed: int) -> Artifact:
    """Train the fan-out model of a workspace.

    Writes ``folm/warm_start`` and ``folm/model`` (Hugging Face directories), ``folm/metrics.parquet`` and
    TensorBoard logs.
    """

    def make(folder: Path) -> int:
        warm_start(config, workspace, folder / "warm_start", seed)
        return reinforce(config, workspace, folder, seed)

    return workspace.build("folm", config, seed, ("ingest", "embed", "index"), make)


def warm_start(config: FolmConfig, workspace: Workspace, out: Path, seed: int) -> None:
    """Train the base model on what the training sets spell out, and write it to ``out``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = resolve_model(config.base_model)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    stage = config.warm_start
    if stage.wscr_passes or stage.oar_passes:
        render = partial(_render, config=config, tokenizer=tokenizer)
        examples = warm_start_examples(workspace, stage, config.k, config.num_hits, render, seed)
        log.info("warm start on %d examples", len(examples))
        history = train_on_examples(model, tokenizer, examples, stage.training, seed)
        log.info("warm start: loss %.3f to %.3f", float(history[0]["loss"]), float(history[-1]["loss"]))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _render(task: Any, query: str, config: FolmConfig, tokenizer: Any) -> str:
    return render_prompt(task, query, config.k, config.prompt_style, tokenizer)


def reinforce(config: FolmConfig, workspace: Workspace, folder: Path, seed: int) -> int:
    """Run Soft-GRPO from ``folder/warm_start`` to ``folder/model``; returns the number of generation steps."""
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    from r4t_ray.folm.rollout import RolloutPool

    schedule = query_schedule(config, workspace, seed)
    if not schedule:
        shutil.copytree(folder / "warm_start", folder / "model")
        return 0
    pool = RolloutPool(workspace, config, folder / "warm_start")
    settings = {
        "config": config.model_dump(),
        "folder": str(folder),
        "schedule": schedule,
        "actors": pool.actors,
        "seed": seed,
    }
    try:
        TorchTrainer(
            learn,
            train_loop_config=settings,
            scaling_config=ScalingConfig(
                num_workers=config.num_workers,
                use_gpu=config.worker_gpus > 0,
                resources_per_worker={"CPU": 1, "GPU": config.worker_gpus},
            ),
        ).fit()
    finally:
        pool.shutdown()
    shutil.rmtree(folder / "weights", ignore_errors=True)
    return config.grpo.steps


def query_schedule(config: FolmConfig, workspace: Workspace, seed: int) -> list[str]:
    """The training query of every group, in the order of use: tasks mixed by ``oar_share``, reshuffled each pass.

    Raises:
        DataError: A task to be trained has no training query.
    """
    rng = random.Random(seed)
    take: dict[str, Callable[[], str]] = {}
    for task in config.tasks:
        ids = [query.query_id for query in load_queries(workspace, task, "train")]
        if not ids:
            raise DataError(
                "ingest/queries.parquet",
                f"no {task} training query",
                "at least one",
                f"add sets or leave {task} out of folm.tasks",
            )
        take[task] = _endless(ids, rng)
    share = config.grpo.oar_share if len(config.tasks) > 1 else float("oar" in config.tasks)
    steps, per_step = config.grpo.steps, config.grpo.queries_per_step
    num_oar = round(share * per_step)
    step_tasks = ["oar"] * num_oar + ["wscr"] * (per_step - num_oar)
    return [take[task]() for _ in range(steps) for task in step_tasks]


def _endless(ids: list[str], rng: random.Random) -> Callable[[], str]:
    queue: list[str] = []

    def take() -> str:
        if not queue:
            queue.extend(rng.sample(ids, len(ids)))
        return queue.pop()

    return take


def learn(settings: dict[str, Any]) -> None:
    """The Ray Train worker's loop: build the learner, train, and let rank 0 write the result."""
    import ray.train
    from ray.train.huggingface.transformers import prepare_trainer

    from r4t_ray.folm.learner import build_learner

    config = FolmConfig.model_validate(settings["config"])
    if config.learner_threads:
        torch.set_num_threads(config.learner_threads)
    learner = build_learner(config, settings)
    prepare_trainer(learner.trainer).train()
    if ray.train.get_context().get_world_rank() == 0:
        learner.write()
    ray.train.report({"steps": config.grpo.steps})
