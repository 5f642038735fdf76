"""The learner of one Ray Train worker: trl's trainer, and the bridge that asks the rollout actors for samples."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from r4t_ray.catalogue import Query
from r4t_ray.errors import ConfigError, EngineError
from r4t_ray.folm.checkpoints import ReportCheckpoint
from r4t_ray.folm.lora import add_adapters
from r4t_ray.folm.metrics import METRICS, StepMetrics, step_metrics, write_metrics
from r4t_ray.folm.precision import computes_in_bf16
from r4t_ray.folm.prompt import format_answer
from r4t_ray.folm.rollout import PendingRollout, Request, Rollout, ask
from r4t_ray.folm.settings import FolmConfig, SoftGRPOConfig
from r4t_ray.folm.soft_grpo import SoftGRPOTrainer
from r4t_ray.folm.status import count_starts, write_status
from r4t_ray.folm.trainable import BETAS, load_trainable
from r4t_ray.folm.transfer import TransferredWeights
from r4t_ray.folm.weights import publish_weights, save_weights

log = logging.getLogger(__name__)

MAX_SHOWN_CHARS = 300


@dataclass
class Learner:
    """A trainer, the samples that are being made for it, and the rows its rollouts logged.

    ``publish`` brings the trainer's weights to where the engines find them and gives the name they have there.
    With ``grpo.max_staleness`` 1 the samples of a step are asked for before the update of the step before, so that the
    engines and the learner work at the same time; the loss corrects for the older weights by its ratio.
    """

    grpo: SoftGRPOConfig
    folder: Path
    actors: list[Any]
    publish: Callable[[Any], Path]
    schedule: list[Query]
    num_workers: int
    seed: int
    timeout_s: float
    trainer: Any = None
    rows: list[StepMetrics] = field(default_factory=list)
    num_resumed: int = 0
    starts: int = 1
    started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)
    _publishing: float = 0.0
    _published: dict[int, Path] = field(default_factory=dict)
    _num_unparsed_steps: int = 0
    _asked: dict[int, tuple[int, PendingRollout]] = field(default_factory=dict)

    @property
    def num_batches(self) -> int:
        """Batches of rollouts that the optimizer has used up."""
        return int(self.trainer.state.global_step) // self.grpo.num_iterations

    def rollout(self, query_ids: list[str], trainer: Any) -> dict[str, Any]:
        """Trl's ``rollout_func``: each query id comes G times in a row and gets G samples."""
        num, step = self.grpo.num_generations, self.num_batches
        expected = [query.query_id for query in self._queries_of(step)]
        assert query_ids[::num] == expected, f"step {step} is for {expected}, the trainer asks for {query_ids[::num]}"
        asked_at, pending = self._asked.pop(step) if step in self._asked else self._ask(step)
        rollouts, stats = pending.wait(self.timeout_s)
        staleness = step - asked_at
        if self.grpo.max_staleness and step + 1 < self.grpo.steps:
            self._asked[step + 1] = self._ask(step + 1)
        trainer.is_on_policy = staleness == 0
        self._check_form(rollouts)
        self._check_weights(rollouts, asked_at)
        now = time.monotonic()
        seconds = {"step": now - self._last, "publish": self._publishing}
        self._last, self._publishing = now, 0.0
        rows = step_metrics(step, rollouts, stats, seconds=seconds, staleness=staleness, start=self.starts)
        self._log(step, rows, trainer)
        return {
            "prompt_ids": [list(rollout.prompt_ids) for rollout in rollouts],
            "completion_ids": [list(rollout.completion.token_ids) for rollout in rollouts],
            "logprobs": [list(rollout.completion.logprobs) for rollout in rollouts],
            "set_reward": [rollout.reward for rollout in rollouts],
        }

    def _check_form(self, rollouts: Sequence[Rollout]) -> None:
        """Raise ConfigError once ``max_unparsed_steps`` steps on end have brought no answer that can be parsed."""
        if any(rollout.components["parsed"] for rollout in rollouts):
            self._num_unparsed_steps = 0
            return
        self._num_unparsed_steps += 1
        if self._num_unparsed_steps < self.grpo.max_unparsed_steps:
            return
        raise ConfigError(
            "folm.base_model",
            f"no answer that can be parsed in {self._num_unparsed_steps} steps, the last: "
            f"{rollouts[-1].completion.text[-MAX_SHOWN_CHARS:]!r}",
            f"answers of the form {format_answer(['first', 'second'])}",
            "warm-start the model (folm.warm_start), raise folm.max_completion_tokens where answers are cut off, or "
            "name another base model",
        )

    def _check_weights(self, rollouts: Sequence[Rollout], asked_at: int) -> None:
        """Raise EngineError if a sample is of other weights than those published for its request."""
        expected = f"step-{asked_at * self.grpo.num_iterations:08d}"
        others = {Path(rollout.weights).name for rollout in rollouts} - {expected}
        if others:
            raise EngineError(
                f"rollout at step {self.num_batches}",
                f"samples of the weights {sorted(others)}",
                f"of {expected} alone",
                "the engines do not load what is published: read the rollout actors' logs",
            )

    def _queries_of(self, step: int) -> list[Query]:
        """This worker's part of a step's queries: trl deals a batch out in equal runs, rank by rank."""
        size = self.grpo.queries_per_step // self.num_workers
        first = step * self.grpo.queries_per_step + int(self.trainer.accelerator.process_index) * size
        return self.schedule[first : first + size]

    def _ask(self, step: int) -> tuple[int, PendingRollout]:
        """Publish the weights and have the samples of ``step`` made from them; gives the step that they are of."""
        rank, trainer = int(self.trainer.accelerator.process_index), self.trainer
        if trainer.state.global_step not in self._published:
            before = time.monotonic()
            self._published = {trainer.state.global_step: self.publish(trainer)}
            self._publishing += time.monotonic() - before
        weights = self._published[trainer.state.global_step]
        seed = self.seed + 1_000_003 * step + 101 * rank
        request = Request(tuple(self._queries_of(step)), self.grpo.num_generations, str(weights), seed)
        return self.num_batches, ask(self.actors, request)

    def _log(self, step: int, rows: list[StepMetrics], trainer: Any) -> None:
        self.rows += rows
        if trainer.accelerator.is_main_process:
            write_status(self)
        for row in rows:
            for name, value in row.columns().items():
                if isinstance(value, float):
                    trainer._metrics["train"][f"{row.task}/{name}"].append(value)
        means = ", ".join(f"{row.task} reward {row.reward:.4f}" for row in rows)
        log.info("Soft-GRPO step %d of %d: %s", step + 1, self.grpo.steps, means)

    def write(self) -> None:
        """Write the trained model, its tokenizer and, last, the metrics; every worker calls this."""
        save_weights(self.trainer, self.folder / "model")
        if self.trainer.accelerator.is_main_process:
            write_metrics(self.rows, self.folder / METRICS)


def build_learner(config: FolmConfig, settings: dict[str, Any]) -> Learner:
    """One worker's learner, its trainer included, of what ``reinforce_task`` settled."""
    import ray.train

    folder = Path(settings["folder"])
    starts = count_starts(folder)
    learner = Learner(
        config.grpo_of(settings["task"]),
        folder,
        own_actors(settings["actors"], config.num_workers),
        publisher(config, settings["actors"], folder / "weights" / f"start-{starts}"),
        settings["schedule"],
        config.num_workers,
        settings["seed"],
        config.rollout_timeout_s,
        starts=starts,
    )
    if ray.train.get_context().get_world_rank() == 0:
        for old in (folder / "weights").glob("start-*"):
            shutil.rmtree(old)
    learner.trainer = build_trainer(learner, config)
    return learner


def build_trainer(learner: Learner, config: FolmConfig) -> SoftGRPOTrainer:
    """The warm-started model in a trainer whose prompts are query ids, with the learner's bridge to the engines."""
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback

    folder, grpo = learner.folder, learner.grpo
    model = load_trainable(folder / "warm_start")
    if config.lora:
        model = add_adapters(model, config.lora, learner.seed)
    trainer = SoftGRPOTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(folder / "warm_start", padding_side="left"),
        reward_funcs=set_reward,
        rollout_func=learner.rollout,
        train_dataset=Dataset.from_dict({"prompt": [query.query_id for query in learner.schedule]}),
        args=grpo_arguments(grpo, config, folder, learner.seed),
        rates=grpo.rates,
        beta_kl=grpo.beta_kl,
        beta_entropy=grpo.beta_entropy,
        max_logp_gap=grpo.max_logp_gap,
        bf16=computes_in_bf16(grpo.bf16),
        engine_bf16=config.engine.dtype != "float32",
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ReportCheckpoint(learner))
    return trainer


def publisher(config: FolmConfig, actors: list[Any], folder: Path) -> Callable[[Any], Path]:
    """What brings the learner's weights to all rollout actors: by ``folder``, or by transfer to their engines."""
    if config.engine.weight_transfer == "disk":
        return partial(publish_weights, folder=folder)
    return TransferredWeights(actors, config.engine.weight_transfer, config.rollout_timeout_s).publish


def own_actors(actors: list[Any], num_workers: int) -> list[Any]:
    """This worker's share of the rollout actors; all of them where there are fewer than workers."""
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    return actors[rank::num_workers] if len(actors) >= num_workers else actors


def set_reward(prompts: list[str], completions: list[str], set_reward: list[float], **_: Any) -> list[float | None]:
    """The reward that the rollout actor computed; None, which trl leaves out of the group, where it is NaN."""
    return [None if math.isnan(reward) else reward for reward in set_reward]


def grpo_arguments(grpo: SoftGRPOConfig, config: FolmConfig, folder: Path, seed: int) -> Any:
    """Our settings in trl's names; ``steps`` generations, each used for ``num_iterations`` optimizer steps."""
    from trl import GRPOConfig

    gpu = torch.cuda.is_available()
    batch = grpo.queries_per_step * grpo.num_generations // config.num_workers
    micro = min(grpo.micro_batch_size, batch)
    schedule = {
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "steps_per_generation": batch // micro,
        "num_generations": grpo.num_generations,
        "num_iterations": grpo.num_iterations,
        "max_steps": grpo.steps * grpo.num_iterations,
        "shuffle_dataset": False,
    }
    # What the trainer records of the optimizer that it makes.
    optimizer = {
        "learning_rate": max(grpo.rates.values()),
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "lr_scheduler_type": grpo.lr_scheduler,
        "warmup_steps": grpo.warmup_steps,
        "max_grad_norm": grpo.max_grad_norm,
    }
    objective = {"epsilon": grpo.clip, "beta": 0.0, "loss_type": "grpo", "scale_rewards": "group"}
    sampling = {"temperature": grpo.temperature, "top_p": 1.0, "top_k": 0}
    device = {"gradient_checkpointing": gpu, "bf16": False, "use_cpu": not gpu, "dataloader_pin_memory": False}
    shards = {"fsdp": config.fsdp, "fsdp_config": {"version": 2} if config.fsdp else None}
    # Saved between two batches only: samples that wait for their next pass are in no checkpoint.
    files = {"report_to": ["tensorboard"], "logging_steps": 1, "disable_tqdm": True, "save_total_limit": 1}
    return GRPOConfig(
        output_dir=str(folder / "trl"),
        max_completion_length=config.max_completion_tokens,
        seed=seed,
        **schedule,
        **optimizer | objective,
        **sampling | device | shards,
        **files,
        save_steps=grpo.checkpoint_every * grpo.num_iterations,
    )
