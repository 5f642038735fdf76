"""The work of one Ray Train worker: the training loops of all tasks, one after the other."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import ray.train
import ray.train.torch
import torch
from ray.train.collective import broadcast_from_rank_zero
from torch import Tensor

from r4t_ray.diffusion.folders import STUDENT
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.samplers import SOLVERS
from r4t_ray.diffusion.settings import DiffusionConfig, NetworkConfig
from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
from r4t_ray.diffusion.training.diversity import tuned_diversity
from r4t_ray.diffusion.training.known import KnownAnswers
from r4t_ray.diffusion.training.learner import Learner
from r4t_ray.diffusion.training.metrics import TrainingMetrics, read_metrics, write_metrics
from r4t_ray.diffusion.training.optimizer import learning_rate
from r4t_ray.diffusion.training.stream import Blocks, rows_of_block, streamed_batches
from r4t_ray.diffusion.training.student import distill, training_queries
from r4t_ray.files import whole_folder
from r4t_ray.progress import track
from r4t_ray.types import Array, Task

CARD = "README.md"
"""The model card that ``save_pretrained`` writes. It is removed, because ``r4t push`` makes one from the manifest."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TaskJob:
    """One task's part of a run.

    Attributes:
        task: The task.
        pairs_folder: Folder of its pairs.
        config: Settings of the stage.
        shape: Shape of the network, which fits these pairs.
        anchors_ND: The ``shape.num_anchors`` anchors; None without anchors.
        hubness_N: Their hubness; None unless ``shape.prior`` is nearness.
        known: Training queries with known relevant entries; None if there are none.
        has_validation: Whether there are pairs for validation.
        files: Path -> number of training pairs in the file.
        mean_weight: Mean weight of the training pairs.
    """

    task: Task
    pairs_folder: Path
    config: DiffusionConfig
    shape: NetworkConfig
    anchors_ND: Array | None
    hubness_N: Array | None
    known: KnownAnswers | None
    has_validation: bool
    files: dict[str, int]
    mean_weight: float

    @property
    def names(self) -> list[str]:
        """The folders that it writes, in order."""
        return [self.task, *([f"{self.task}/{STUDENT}"] if self.config.student[self.task] else [])]


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """The job that the driver gives to the Ray Train workers.

    Attributes:
        tasks: The part of each task, in the order of training.
        folder: Where the retrievers go. All workers share it.
        seed: Seed of the stage.
    """

    tasks: Sequence[TaskJob]
    folder: Path
    seed: int


def train_worker(arguments: dict[str, TrainJob]) -> None:
    """Train every task's retriever, and its student where it has one, on this worker's share of every batch.

    Args:
        arguments: The job, under the key "job".

    The first worker validates and logs. It keeps the state of the current task in the checkpoint and moves a finished
    retriever into ``folder/<task>``. After a restart an unfinished student starts from its first step.
    """
    run = arguments["job"]
    rank = ray.train.get_context().get_world_rank()
    # Only the first worker looks, because other workers may see a new folder of a shared file system later.
    made = [(job, name) for job in run.tasks for name in job.names]
    left = broadcast_from_rank_zero([name for _, name in made if not (run.folder / name).exists()])
    for job, name in (each for each in made if each[1] in left):
        _set_up_process(job.config, rank)
        (train_task if name == job.task else train_student)(job, run.folder / name, run.seed, rank)


def train_task(job: TaskJob, finished: Path, seed: int, rank: int) -> None:
    """Train one task's retriever, from its last checkpoint if there is one; the first worker writes ``finished``."""
    config, learner = job.config, _learner(job, seed, rank)
    rows = _restore(learner, job.task)
    validation = _validation_pairs(job, learner.device) if rank == 0 and job.has_validation else None
    num_workers, num_steps = ray.train.get_context().get_world_size(), config.optimizer.num_steps
    losses: list[Tensor] = []
    started = time.monotonic()
    remaining = num_steps - learner.step
    # Close the iterator at the end, because Ray Data reads on while it is held.
    with closing(_batches(job, seed, learner)) as batches:
        for batch in track(islice(batches, remaining), f"train-diffusion {job.task}", total=remaining):
            losses.append(learner.update(batch["z_q"], batch["Z"], batch["weight"]))
            step = learner.step
            is_last = step == num_steps
            is_validated = validation is not None and (is_last or step % config.validate_every == 0)
            is_kept = step % config.checkpoint_every == 0 and not is_last
            # Log at every checkpoint too, because a run that continues from it has no earlier losses to log.
            if rank == 0 and (is_last or is_validated or is_kept or step % config.log_every == 0):
                seconds = time.monotonic() - started
                val_loss = learner.validate(*validation) if is_validated and validation is not None else None
                rows.append(_metrics(job.task, learner, losses, val_loss, seconds=seconds, num_workers=num_workers))
                _logger.info("%s", rows[-1])
                losses, started = [], time.monotonic()
            if is_kept:
                _report(learner, rows, rank, job.task)
    if rank == 0:
        if validation is not None:
            _compare_with_chance(learner, validation, job.task)
        _write_finished(learner, rows, finished, validation)
    ray.train.report({"step": learner.step})


def _learner(job: TaskJob, seed: int, rank: int) -> Learner:
    return Learner(
        job.config,
        job.shape,
        job.task,
        seed=seed,
        rank=rank,
        anchors_ND=job.anchors_ND,
        hubness_N=job.hubness_N,
        known=job.known,
        device=ray.train.torch.get_device(),
        wrap=ray.train.torch.prepare_model,
    )


def train_student(job: TaskJob, finished: Path, seed: int, rank: int) -> None:
    """Distill the retriever in ``finished``'s parent folder; the first worker writes the student to ``finished``."""
    device, num_workers = ray.train.torch.get_device(), ray.train.get_context().get_world_size()
    teacher = DiffusionRetriever.from_pretrained(finished.parent).to(device)
    queries_ND = training_queries(job.pairs_folder).to(device)
    settings, wrap = job.config.student[job.task], ray.train.torch.prepare_model
    assert settings is not None, "a job names a student only where the settings have one"
    student = distill(teacher, queries_ND, settings, seed=seed, rank=rank, num_workers=num_workers, wrap=wrap)
    if rank == 0:
        with whole_folder(finished) as partial:
            _save(student, partial)
    ray.train.report({"step": settings.optimizer.num_steps})


def _set_up_process(config: DiffusionConfig, rank: int) -> None:
    if not config.workers.gpus:
        torch.set_num_threads(config.workers.num_threads)
    if rank == 0:
        logging.basicConfig(level=logging.INFO, format="%(message)s")


def _batches(job: TaskJob, seed: int, learner: Learner) -> Generator[dict[str, Tensor], None, None]:
    """This worker's share of every batch from the learner's step on, epoch after epoch."""
    config, context = job.config, ray.train.get_context()
    part = (context.get_world_rank(), context.get_world_size())
    batch_size, collate = config.optimizer.batch_size // part[1], PairCollate(job.shape, job.mean_weight)
    if config.cache_pairs:
        pairs = load_pairs(job.pairs_folder, "train", collate, part=part)
        on_device = {name: values.to(learner.device) for name, values in pairs.items()}
        return cached_batches(on_device, batch_size, seed, learner.step)
    blocks = Blocks(
        files=job.files, num_rows=rows_of_block(config.shuffle_rows, batch_size, sum(job.files.values())), seed=seed
    )
    return streamed_batches(
        blocks,
        batch_size,
        collate,
        used=learner.step,
        num_steps=config.optimizer.num_steps,
        rank=part[0],
        num_workers=part[1],
    )


def _validation_pairs(job: TaskJob, device: torch.device) -> list[Tensor]:
    collate = PairCollate(job.shape, job.mean_weight)
    pairs = load_pairs(job.pairs_folder, "val", collate, job.config.validation_rows)
    return [pairs[name].to(device) for name in ("z_q", "Z", "weight")]


def _metrics(
    task: Task, learner: Learner, losses: list[Tensor], val_loss: float | None, *, seconds: float, num_workers: int
) -> TrainingMetrics:
    optimizer = learner.config.optimizer
    return TrainingMetrics(
        task=task,
        step=learner.step,
        loss=float(torch.stack(losses).mean()),
        val_loss=val_loss,
        learning_rate=learning_rate(learner.step - 1, optimizer),
        samples_per_s=len(losses) * (optimizer.batch_size // num_workers) * num_workers / seconds,
    )


def _compare_with_chance(learner: Learner, validation: list[Tensor], task: Task) -> None:
    """Say so in one line if the retriever does not use the query: its loss is then as low with another pair's query."""
    z_q_BD, target_BLD, weight_B = validation
    own, other = learner.validate(*validation), learner.validate(z_q_BD.roll(len(z_q_BD) // 2, 0), target_BLD, weight_B)
    if own >= other:
        _logger.warning(
            "train-diffusion %s: no better than chance: validation loss %.3f, and %.3f with queries of other pairs; "
            "raise diffusion.optimizer.num_steps, or make pairs that differ between queries (see pairs.policy and "
            "pairs.reference_share)",
            task, own, other,
        )  # fmt: skip


def _restore(learner: Learner, task: Task) -> list[TrainingMetrics]:
    """Continue from the last checkpoint after a restart, if it is of this task; returns the metrics up to it."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as folder:
        kept = Path(folder) / task
        if not kept.is_dir():
            return []
        learner.restore(kept)
        return read_metrics(kept)


def _report(learner: Learner, rows: list[TrainingMetrics], rank: int, task: Task) -> None:
    """Report to Ray Train. It is a barrier, so every worker calls it; only rank 0 hands over the checkpoint."""
    if rank != 0:
        ray.train.report({"step": learner.step})
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / task
        learner.save(kept)
        write_metrics(rows, kept)
        metrics = {"step": learner.step, **(asdict(rows[-1]) if rows else {})}
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _write_finished(
    learner: Learner, rows: list[TrainingMetrics], finished: Path, validation: list[Tensor] | None
) -> None:
    """Write the averaged retriever and its metrics, whole or not at all. Its diversity is tuned unless it is set."""
    retriever: DiffusionRetriever = learner.ema.model
    sampler = retriever.sampler
    if SOLVERS[sampler.solver].is_ranked and sampler.diversity is None:
        diversity = tuned_diversity(retriever, *validation[:2]) if validation is not None else 0.0
        _logger.info("train-diffusion: diversity %g makes answers as diverse as the validation targets", diversity)
        retriever = retriever.with_sampler(sampler.model_copy(update={"diversity": diversity}))
    with whole_folder(finished) as partial:
        _save(retriever, partial)
        write_metrics(rows, partial)


def _save(retriever: DiffusionRetriever, folder: Path) -> None:
    retriever.save_pretrained(folder)
    (folder / CARD).unlink()
