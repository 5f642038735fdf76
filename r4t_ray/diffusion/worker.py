"""The training loop of one Ray Train worker."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray.train
import torch
from torch import Tensor

from r4t_ray.diffusion.batches import PairCollate, endless_batches
from r4t_ray.diffusion.learner import Learner
from r4t_ray.diffusion.learning_rate import learning_rate
from r4t_ray.diffusion.settings import DiffusionConfig
from r4t_ray.progress import track

METRICS = "metrics.parquet"
SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("step", pa.int64()),
        ("loss", pa.float32()),
        ("val_loss", pa.float32()),
        ("lr", pa.float32()),
        ("samples_per_s", pa.float32()),
    ]
)

logger = logging.getLogger(__name__)


def train_worker(job: dict[str, Any]) -> None:
    """Train one task's retriever on this worker's share of every batch.

    Args:
        job: ``config`` (DiffusionConfig), ``task``, ``seed`` and ``anchors`` (None, or (N, D) for the network's
            ``num_anchors``). The datasets are ``train`` (split among the workers) and, optional, ``val``. Rank 0
            validates, logs, and puts model, state and metrics in the checkpoint.
    """
    config, task, seed = job["config"], job["task"], job["seed"]
    rank = ray.train.get_context().get_world_rank()
    _set_up_process(config, rank)
    learner = Learner(config, task, seed, rank, job["anchors"])
    rows = _restore(learner)
    validation = _validation_pairs(config, learner.device) if rank == 0 and job["has_validation"] else None

    num_workers, num_steps = ray.train.get_context().get_world_size(), config.optimizer.num_steps
    batches = endless_batches(
        ray.train.get_dataset_shard("train"),
        config.optimizer.batch_size // num_workers,
        config.shuffle_rows,
        seed + learner.step,
        config.network,
    )
    losses: list[Tensor] = []
    started = time.monotonic()
    remaining = num_steps - learner.step
    for batch in track(islice(batches, remaining), f"train-diffusion {task}", total=remaining):
        losses.append(learner.update(batch["z_q"], batch["Z"]))
        step = learner.step
        is_last = step == num_steps
        is_validated = validation is not None and (is_last or step % config.validate_every == 0)
        if rank == 0 and (is_last or is_validated or step % config.log_every == 0):
            rows.append(_metrics(task, learner, losses, time.monotonic() - started, num_workers))
            if is_validated and validation is not None:
                rows[-1]["val_loss"] = learner.validate(*validation)
            logger.info("%s", rows[-1])
            losses, started = [], time.monotonic()
        if is_last or step % config.checkpoint_every == 0:
            _report(learner, rows, rank)


def _set_up_process(config: DiffusionConfig, rank: int) -> None:
    if not config.use_gpu:
        torch.set_num_threads(config.num_threads or os.cpu_count() or 1)
    if rank == 0:
        logging.basicConfig(level=logging.INFO, format="%(message)s")


def _validation_pairs(config: DiffusionConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    shard = ray.train.get_dataset_shard("val")
    batches = list(shard.iter_torch_batches(batch_size=1024, collate_fn=PairCollate(config.network)))
    z_q_BD, target_BLD = (torch.cat([batch[name] for batch in batches]).to(device) for name in ("z_q", "Z"))
    return z_q_BD, target_BLD


def _metrics(task: str, learner: Learner, losses: list[Tensor], seconds: float, num_workers: int) -> dict[str, Any]:
    optimizer = learner.config.optimizer
    return {
        "task": task,
        "step": learner.step,
        "loss": float(torch.stack(losses).mean()),
        "val_loss": None,
        "lr": learning_rate(learner.step - 1, optimizer),
        "samples_per_s": len(losses) * (optimizer.batch_size // num_workers) * num_workers / seconds,
    }


def _restore(learner: Learner) -> list[dict[str, Any]]:
    """Load the last checkpoint after a restart; returns the metrics up to it."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as folder:
        learner.restore(Path(folder))
        rows: list[dict[str, Any]] = pq.read_table(Path(folder) / METRICS).to_pylist()
        return rows


def _report(learner: Learner, rows: list[dict[str, Any]], rank: int) -> None:
    """Report to Ray Train; a barrier, so every worker calls it and rank 0 alone brings the checkpoint."""
    if rank != 0:
        ray.train.report({"step": learner.step})
        return
    with tempfile.TemporaryDirectory() as folder:
        learner.save(Path(folder))
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), Path(folder) / METRICS)
        metrics = {"step": learner.step, **(rows[-1] if rows else {})}
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))
