"""One Ray Train worker's trainer and run log, built from the driver's job."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from r4t_ray.folm.learner.checkpoints import ReportCheckpoint
from r4t_ray.folm.learner.job import LearnerJob
from r4t_ray.folm.learner.lora import add_adapters
from r4t_ray.folm.learner.optimizer import BETAS
from r4t_ray.folm.learner.rollout_bridge import RolloutBridge, set_reward
from r4t_ray.folm.learner.run_log import RunLog
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.learner.status import count_starts
from r4t_ray.folm.learner.trainer import SoftGRPOTrainer
from r4t_ray.folm.policy.engines.factory import engine_dtype
from r4t_ray.folm.policy.loading import load_trainable
from r4t_ray.folm.policy.precision import computes_in_bf16
from r4t_ray.folm.rollout.source import RolloutSource
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.validation import Validation
from r4t_ray.folm.weights.publisher import WeightPublisher, choose_publish


def build_learner(job: LearnerJob) -> tuple[SoftGRPOTrainer, RunLog, Validation]:
    """This worker's trainer, connected to the rollout pool, its log, and the validation of its weights."""
    import ray.train

    rank, num_workers = ray.train.get_context().get_world_rank(), job.config.learner.num
    starts = count_starts(job.folder)
    log = RunLog(folder=job.folder, num_steps=job.grpo.num_steps, num_workers=num_workers, starts=starts)
    publish = choose_publish(
        job.config.engine.weight_transfer,
        actors=job.actors,
        folder=job.folder / "weights" / f"start-{starts}",
        timeout_s=job.config.rollout_timeout_s,
    )
    if rank == 0:
        for old in (job.folder / "weights").glob("start-*"):
            shutil.rmtree(old)
    source = RolloutSource(
        grpo=job.grpo,
        schedule=job.schedule,
        actors=own_actors(job.actors, rank=rank, num_workers=num_workers),
        weights=WeightPublisher(publish),
        rank=rank,
        num_workers=num_workers,
        seed=job.seed,
        timeout_s=job.config.rollout_timeout_s,
    )
    validation = Validation(
        queries=job.validation,
        every=job.grpo.validate_every,
        patience=job.grpo.patience,
        source=source,
        folder=job.folder,
    )
    bridge = RolloutBridge(grpo=job.grpo, source=source, log=log, validation=validation)
    trainer = build_trainer(job, bridge)
    trainer.add_callback(ReportCheckpoint(trainer, log, validation))
    return trainer, log, validation


def build_trainer(job: LearnerJob, bridge: RolloutBridge) -> SoftGRPOTrainer:
    """The warm-started model in a trainer whose prompts are query ids."""
    from datasets import Dataset
    from transformers import PrinterCallback

    config, warm_start = job.config, job.folder / "warm_start"
    model = load_trainable(warm_start)
    if config.lora:
        model = add_adapters(model, config.lora, job.seed)
    trainer = SoftGRPOTrainer(
        model=model,
        processing_class=padding_tokenizer(warm_start, model),
        reward_funcs=set_reward,
        rollout_func=bridge,
        train_dataset=Dataset.from_dict({"prompt": [query.query_id for query in job.schedule]}),
        args=grpo_arguments(job.grpo, config, job.folder, job.seed),
        grpo=job.grpo,
        bf16=computes_in_bf16(job.grpo.bf16),
        engine_bf16=engine_dtype(config.engine) == "bfloat16",
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def padding_tokenizer(folder: Path, model: Any) -> Any:
    """The tokenizer that trl pads with. Its pad token is one that the model embeds, else the end token.

    Paddings are masked. They are on the left of prompts, so that an answer follows its prompt.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= model.get_input_embeddings().num_embeddings:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def own_actors(actors: Sequence[Any], *, rank: int, num_workers: int) -> Sequence[Any]:
    """A worker's share of the rollout actors; all actors if there are fewer actors than workers."""
    return actors[rank::num_workers] if len(actors) >= num_workers else actors


def grpo_arguments(grpo: SoftGRPOConfig, config: FolmConfig, folder: Path, seed: int) -> Any:
    """The settings as trl's GRPOConfig: ``num_steps`` batches with ``num_iterations`` optimizer steps each."""
    from trl import GRPOConfig

    gpu = torch.cuda.is_available()
    batch = grpo.queries_per_step * grpo.num_generations // config.learner.num
    micro = min(grpo.micro_batch_size, batch)
    schedule = {
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "steps_per_generation": batch // micro,
        "num_generations": grpo.num_generations,
        "num_iterations": grpo.num_iterations,
        "max_steps": grpo.num_steps * grpo.num_iterations,
        "shuffle_dataset": False,
    }
    # SoftGRPOTrainer makes the optimizer; trl records these values.
    optimizer = {
        "learning_rate": max(grpo.rates.values()),
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "lr_scheduler_type": grpo.lr_scheduler,
        "warmup_steps": grpo.warmup_steps,
        "max_grad_norm": grpo.max_grad_norm,
    }
    objective = {"epsilon": grpo.clip_eps, "beta": 0.0, "loss_type": "grpo", "scale_rewards": "group"}
    sampling = {"temperature": grpo.temperature, "top_p": 1.0, "top_k": 0}
    device = {"gradient_checkpointing": gpu, "bf16": False, "use_cpu": not gpu, "dataloader_pin_memory": False}
    shards = {"fsdp": config.fsdp, "fsdp_config": {"version": 2} if config.fsdp else None}
    # Save only between two batches, because a checkpoint does not hold the samples of an unfinished batch.
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
