"""The learner of one Ray Train worker: trl's trainer, and the bridge that asks the rollout actors for samples."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from r4t_ray.catalogue import Query
from r4t_ray.folm.metrics import Row, rollout_rows, write_rows
from r4t_ray.folm.rollout import Request, rollout_on
from r4t_ray.folm.settings import FolmConfig, SoftGRPOConfig
from r4t_ray.folm.soft_grpo import SoftGRPOTrainer
from r4t_ray.folm.trainable import load_trainable, parameter_groups
from r4t_ray.folm.weights import publish_weights

log = logging.getLogger(__name__)

BETAS = (0.9, 0.95)
"""AdamW's, as in Table 3 of arXiv 2603.06397."""


@dataclass
class Learner:
    """A trainer, and the rows its rollouts logged."""

    grpo: SoftGRPOConfig
    folder: Path
    actors: list[Any]
    queries: dict[str, Query]
    seed: int
    trainer: Any = None
    rows: list[Row] = field(default_factory=list)
    num_batches: int = 0

    def rollout(self, query_ids: list[str], trainer: Any) -> dict[str, Any]:
        """Trl's ``rollout_func``: each query id comes G times in a row and gets G samples of the current weights."""
        num, step = self.grpo.num_generations, self.num_batches
        self.num_batches += 1
        rank = int(trainer.accelerator.process_index)
        model = trainer.accelerator.unwrap_model(trainer.model)
        folder = self.folder / "weights" / f"rank-{rank}"
        weights = publish_weights(model, trainer.processing_class, folder, trainer.state.global_step)
        seed = self.seed + 1_000_003 * step + 101 * rank
        request = Request(tuple(self.queries[name] for name in query_ids[::num]), num, str(weights), seed)
        rollouts, stats = rollout_on(self.actors, request)
        self._log(step, rollout_rows(step, rollouts, stats), trainer)
        return {
            "prompt_ids": [list(rollout.prompt_ids) for rollout in rollouts],
            "completion_ids": [list(rollout.completion.token_ids) for rollout in rollouts],
            "logprobs": [list(rollout.completion.logprobs) for rollout in rollouts],
            "set_reward": [rollout.reward for rollout in rollouts],
        }

    def _log(self, step: int, rows: list[Row], trainer: Any) -> None:
        self.rows += rows
        for row in rows:
            for name, value in row.items():
                if isinstance(value, float):
                    trainer._metrics["train"][f"{row['task']}/{name}"].append(value)
        means = ", ".join(f"{row['task']} reward {row['reward']:.4f}" for row in rows)
        log.info("Soft-GRPO step %d of %d: %s", step + 1, self.grpo.steps, means)

    def write(self) -> None:
        """Write the trained model, its tokenizer and the metrics into the stage's folder."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        model.save_pretrained(self.folder / "model")
        self.trainer.processing_class.save_pretrained(self.folder / "model")
        write_rows(self.rows, self.folder / "metrics.parquet")


def build_learner(config: FolmConfig, settings: dict[str, Any]) -> Learner:
    """Load the warm-started model into a SoftGRPOTrainer whose prompts are query ids."""
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback

    folder, grpo = Path(settings["folder"]), config.grpo_of(settings["task"])
    schedule: list[Query] = settings["schedule"]
    queries = {query.query_id: query for query in schedule}
    learner = Learner(grpo, folder, settings["actors"], queries, settings["seed"])
    model = load_trainable(folder / "warm_start")
    optimizer = torch.optim.AdamW(parameter_groups(model, grpo.rates), betas=BETAS, weight_decay=0.0, fused=True)
    learner.trainer = SoftGRPOTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(folder / "warm_start", padding_side="left"),
        reward_funcs=set_reward,
        rollout_func=learner.rollout,
        train_dataset=Dataset.from_dict({"prompt": [query.query_id for query in schedule]}),
        args=grpo_arguments(grpo, config, folder, settings["seed"]),
        optimizers=(optimizer, None),
        beta_kl=grpo.beta_kl,
        beta_entropy=grpo.beta_entropy,
        max_logp_gap=grpo.max_logp_gap,
        bf16=grpo.bf16,
        engine_bf16=config.engine.dtype != "float32",
    )
    learner.trainer.remove_callback(PrinterCallback)
    return learner


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
    # What the trainer records of the optimizer that it is handed.
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
    logs = {"report_to": ["tensorboard"], "logging_steps": 1, "save_strategy": "no", "disable_tqdm": True}
    return GRPOConfig(
        output_dir=str(folder / "trl"),
        max_completion_length=config.max_completion_tokens,
        seed=seed,
        **schedule,
        **optimizer,
        **objective,
        **sampling,
        **device,
        **logs,
    )
