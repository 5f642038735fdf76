"""What one Ray Train worker does: the training loop of every task."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray.train
import ray.train.torch
import torch
from ray.train.collective import broadcast_from_rank_zero
from torch import Tensor

from r4t_ray.diffusion.folders import STUDENT
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import DiffusionConfig
from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
from r4t_ray.diffusion.training.learner import Learner
from r4t_ray.diffusion.training.optimizer import learning_rate
from r4t_ray.diffusion.training.stream import Blocks, rows_of_block, streamed_batches
from r4t_ray.diffusion.training.student import distill, training_queries
from r4t_ray.files import whole_folder
from r4t_ray.progress import track
from r4t_ray.types import Array, Task

METRICS = "metrics.parquet"
CARD = "README.md"
"""The model card of ``save_pretrained``; an artifact has its manifest, and ``r4t push`` makes the card from it."""
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


@dataclass(frozen=True)
class TaskJob:
    """One task's part of a run; ``anchors_ND`` is None, or (N, D) for the ``num_anchors`` of ``config.network``.

    ``files`` has the number of training pairs of each file by its path, and ``mean_weight`` is that of their weights.
    """

    task: Task
    pairs_folder: Path
    config: DiffusionConfig
    anchors_ND: Array | None
    has_validation: bool
    files: dict[str, int]
    mean_weight: float

    @property
    def names(self) -> list[str]:
        """Folders that come of it, in the order of making."""
        return [self.task, *([f"{self.task}/{STUDENT}"] if self.task in self.config.student else [])]


def train_worker(run: dict[str, Any]) -> None:
    """Train every task's retriever, and its student where it has one, on this worker's share of every batch.

    Args:
        run: ``jobs`` (of TaskJob), ``folder``, which all workers share, and ``seed``. The first worker validates, logs,
            keeps the state of the task at work in the checkpoint, and puts a finished one into ``folder/<task>``. A
            student that is not finished begins anew after a restart.
    """
    rank, folder = ray.train.get_context().get_world_rank(), Path(run["folder"])
    # The first worker alone looks: a shared file system may tell another of a new folder later.
    made = [(job, name) for job in run["jobs"] for name in job.names]
    left = broadcast_from_rank_zero([name for _, name in made if not (folder / name).exists()])
    for job, name in (each for each in made if each[1] in left):
        _set_up_process(job.config, rank)
        (train_task if name == job.task else train_student)(job, folder / name, run["seed"], rank)


def train_task(job: TaskJob, finished: Path, seed: int, rank: int) -> None:
    """Train one task's retriever, from its last checkpoint if there is one; the first worker writes ``finished``."""
    config = job.config
    device, wrap = ray.train.torch.get_device(), ray.train.torch.prepare_model
    learner = Learner(config, job.task, seed, rank, job.anchors_ND, device, wrap)
    rows = _restore(learner, job.task)
    validation = _validation_pairs(job, learner.device) if rank == 0 and job.has_validation else None
    num_workers, num_steps = ray.train.get_context().get_world_size(), config.optimizer.num_steps
    losses: list[Tensor] = []
    started = time.monotonic()
    remaining = num_steps - learner.step
    # Closed at the end: Ray Data reads on for an iterator that is still held.
    with closing(_batches(job, seed, learner)) as batches:
        for batch in track(islice(batches, remaining), f"train-diffusion {job.task}", total=remaining):
            losses.append(learner.update(batch["z_q"], batch["Z"], batch["weight"]))
            step = learner.step
            is_last = step == num_steps
            is_validated = validation is not None and (is_last or step % config.validate_every == 0)
            is_kept = step % config.checkpoint_every == 0 and not is_last
            # Logged where it is kept, so that no loss is left over for a run that goes on from there.
            if rank == 0 and (is_last or is_validated or is_kept or step % config.log_every == 0):
                rows.append(_metrics(job.task, learner, losses, time.monotonic() - started, num_workers))
                if is_validated and validation is not None:
                    rows[-1]["val_loss"] = learner.validate(*validation)
                logger.info("%s", rows[-1])
                losses, started = [], time.monotonic()
            if is_kept:
                _report(learner, rows, rank, job.task)
    if rank == 0:
        _write_finished(learner, rows, finished)
    ray.train.report({"step": learner.step})


def train_student(job: TaskJob, finished: Path, seed: int, rank: int) -> None:
    """Distill the finished retriever beside which ``finished`` comes to lie; the first worker writes it."""
    device, num_workers = ray.train.torch.get_device(), ray.train.get_context().get_world_size()
    teacher = DiffusionRetriever.from_pretrained(finished.parent).to(device)
    queries_ND = training_queries(job.pairs_folder).to(device)
    settings, wrap = job.config.student[job.task], ray.train.torch.prepare_model
    student = distill(teacher, queries_ND, settings, seed, rank, num_workers, wrap)
    if rank == 0:
        with whole_folder(finished) as partial:
            _save(student, partial)
    ray.train.report({"step": settings.optimizer.num_steps})


def _set_up_process(config: DiffusionConfig, rank: int) -> None:
    if not config.use_gpu:
        torch.set_num_threads(config.num_threads)
    if rank == 0:
        logging.basicConfig(level=logging.INFO, format="%(message)s")


def _batches(job: TaskJob, seed: int, learner: Learner) -> Generator[dict[str, Tensor], None, None]:
    """This worker's share of every batch from the learner's step on, epoch after epoch."""
    config, context = job.config, ray.train.get_context()
    part = (context.get_world_rank(), context.get_world_size())
    batch_size, collate = config.optimizer.batch_size // part[1], PairCollate(config.network, job.mean_weight)
    if config.cache_pairs:
        pairs = load_pairs(job.pairs_folder, "train", collate, part=part)
        on_device = {name: values.to(learner.device) for name, values in pairs.items()}
        return cached_batches(on_device, batch_size, seed, learner.step)
    blocks = Blocks(job.files, rows_of_block(config.shuffle_rows, batch_size, sum(job.files.values())), seed)
    return streamed_batches(blocks, batch_size, learner.step, config.optimizer.num_steps, *part, collate)


def _validation_pairs(job: TaskJob, device: torch.device) -> list[Tensor]:
    collate = PairCollate(job.config.network, job.mean_weight)
    pairs = load_pairs(job.pairs_folder, "val", collate, job.config.validation_rows)
    return [pairs[name].to(device) for name in ("z_q", "Z", "weight")]


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


def _restore(learner: Learner, task: Task) -> list[dict[str, Any]]:
    """Go on from the last checkpoint after a restart, if it is one of this task; returns the metrics up to it."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as folder:
        kept = Path(folder) / task
        if not kept.is_dir():
            return []
        learner.restore(kept)
        rows: list[dict[str, Any]] = pq.read_table(kept / METRICS).to_pylist()
        return rows


def _report(learner: Learner, rows: list[dict[str, Any]], rank: int, task: Task) -> None:
    """Report to Ray Train; a barrier, so every worker calls it and rank 0 alone brings the checkpoint."""
    if rank != 0:
        ray.train.report({"step": learner.step})
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / task
        learner.save(kept)
        _write_metrics(rows, kept)
        metrics = {"step": learner.step, **(rows[-1] if rows else {})}
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _write_finished(learner: Learner, rows: list[dict[str, Any]], finished: Path) -> None:
    """The averaged retriever and its metrics, all of them or nothing."""
    with whole_folder(finished) as partial:
        _save(learner.ema.model, partial)
        _write_metrics(rows, partial)


def _save(retriever: DiffusionRetriever, folder: Path) -> None:
    retriever.save_pretrained(folder)
    (folder / CARD).unlink()


def _write_metrics(rows: list[dict[str, Any]], folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / METRICS)
