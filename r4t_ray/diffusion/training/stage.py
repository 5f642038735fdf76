"""The train-diffusion stage: one run of Ray Train that trains a retriever for each task."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.train
from ray.exceptions import RayError
from ray.train.torch import TorchTrainer

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.diffusion.anchor_program import write_program
from r4t_ray.diffusion.entries import anchors_of_entries
from r4t_ray.diffusion.folders import LABELS, PROGRAM, STUDENT
from r4t_ray.diffusion.memory import NO_ENTRY
from r4t_ray.diffusion.samplers import SOLVERS, SolverName
from r4t_ray.diffusion.settings import DiffusionConfig, NetworkConfig, Prior
from r4t_ray.diffusion.training.anchors import choose_anchors, hubness
from r4t_ray.diffusion.training.batches import inspect_pairs, mean_weight
from r4t_ray.diffusion.training.known import known_answers
from r4t_ray.diffusion.training.metrics import METRICS
from r4t_ray.diffusion.training.student import training_queries
from r4t_ray.diffusion.training.worker import TaskJob, TrainJob, train_worker
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.errors import DataError
from r4t_ray.files import whole_file
from r4t_ray.machine.ray_train_runs import STAGING, drop_broken_state, own_cluster_asked
from r4t_ray.stages import parents_of
from r4t_ray.types import POOLS, TASKS, Array, Task

Pool = tuple[list[str], Array]
"""Ids of M entries, and their unit embeddings (M, D)."""

PROGRAM_QUERIES = 64
"""Training queries by which a program in ONNX is compared with torch."""

_logger = logging.getLogger(__name__)


def run(config: DiffusionConfig, workspace: Workspace, seed: int) -> Artifact:
    """Train one retriever per task that has pairs.

    The tasks are OAR (open-ended abstract retrieval) and WSCR (weakly supervised compositional retrieval).

    Reads ``pairs/<task>/*.parquet``, and ``encoder/`` for a task whose anchors are its pool. Writes into
    ``diffusion/<task>/``: ``model.safetensors`` (the averaged weights), ``config.json``, the pairs' ``labels.parquet``,
    ``top_anchors.onnx`` if that solver answers, and ``student/`` with the same two model files if the task has a
    student. Writes ``diffusion/metrics.parquet`` (task, step, loss, val_loss, learning_rate, samples_per_s).

    A run that lost a worker, or that was stopped and started again, ends with the weights and losses of an
    uninterrupted run.

    Raises:
        MissingArtifactError: The pairs or the embeddings are missing.
        DataError: The pairs do not fit the network, or fill no batch.
    """
    make = partial(_train_all, config, workspace, seed)
    return workspace.build("diffusion", config, seed, parents_of("diffusion"), make, resumes=True)


def _train_all(config: DiffusionConfig, workspace: Workspace, seed: int, folder: Path) -> int:
    if not ray.is_initialized():
        ray.init(ignore_reinit_error=True)
    jobs = [
        prepare_task(config, workspace.root / "pairs" / task, task, pool=pool_of(config, workspace, task))
        for task in trained_tasks(workspace)
    ]
    metrics = folder / METRICS
    if not metrics.exists():
        table = train_jobs(jobs, config, folder, seed)
        with whole_file(metrics) as partial_file:
            pq.write_table(table, partial_file)
    # Last, because Ray Train refuses to continue from checkpoints that are partly removed.
    shutil.rmtree(folder / STAGING, ignore_errors=True)
    for job in jobs:
        (folder / job.task / METRICS).unlink(missing_ok=True)
        labels = workspace.root / "pairs" / "labels" / f"{job.task}.parquet"
        if labels.exists():
            shutil.copyfile(labels, folder / job.task / LABELS)
    write_programs(jobs, folder)
    return int(pq.read_metadata(metrics).num_rows)


def write_programs(jobs: Sequence[TaskJob], folder: Path) -> None:
    """Write the retrievers that ``top_anchors`` serves in ONNX, each on a worker; see ``anchor_program``."""
    served = [
        job for job in jobs
        if SOLVERS[job.config.sampler[job.task].solver].is_ranked and not (folder / job.task / STUDENT).is_dir()
    ]  # fmt: skip
    task = ray.remote(write_program).options(num_cpus=1, max_retries=0)
    calls = [task.remote(folder / job.task, training_queries(job.pairs_folder)[:PROGRAM_QUERIES]) for job in served]
    for job, call in zip(served, calls, strict=True):
        try:
            reason = ray.get(call)
        except RayError as error:  # the worker died, for want of memory for one
            reason = f"its export failed ({type(error).__name__})"
            (folder / job.task / PROGRAM).unlink(missing_ok=True)
        if reason is not None:
            _logger.warning("train-diffusion %s: torch answers, which is slower, because %s", job.task, reason)
            _logger.warning("to export it: mend that, remove the folder diffusion, and run the stage again")


def trained_tasks(workspace: Workspace) -> list[Task]:
    """The tasks with pairs. Without any it is every task, so that the first error names the missing pairs."""
    return [task for task in TASKS if (workspace.root / "pairs" / task).is_dir()] or list(TASKS)


def train_jobs(jobs: list[TaskJob], config: DiffusionConfig, folder: Path, seed: int) -> pa.Table:
    """Run Ray Train on all jobs, one after the other, into ``folder/<task>``; returns their metrics."""
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": TrainJob(tasks=jobs, folder=folder, seed=seed)},
        scaling_config=_scaling(config),
        run_config=_run_config(config, folder / STAGING),
    )
    drop_broken_state(folder)
    with own_cluster_asked():
        trainer.fit()
    return pa.concat_tables([pq.read_table(folder / job.task / METRICS) for job in jobs])


def pool_of(config: DiffusionConfig, workspace: Workspace, task: Task) -> Pool | None:
    """A task's pool if the settings make it the anchors; else None."""
    if config.anchors[task] != "pool" or not config.network.num_anchors:
        return None
    return read_embedding_table(workspace.root / "encoder" / f"{POOLS[task]}.parquet")


def prepare_task(config: DiffusionConfig, pairs_folder: Path, task: Task, *, pool: Pool | None = None) -> TaskJob:
    """Read one task's pairs before a worker starts: their shape, whether they fill a batch, and the anchors.

    Args:
        config: Settings of the stage.
        pairs_folder: The task's pairs.
        task: The task.
        pool: ``pool_of`` the task. Without it the anchors are target rows.

    Raises:
        MissingArtifactError: There are no pairs.
        DataError: The pairs have other columns or fill no batch, or the solver needs more anchors.
    """
    pairs = inspect_pairs(pairs_folder)
    num_train = sum(pairs.train.values())
    if num_train < config.optimizer.batch_size:
        raise DataError(
            str(pairs_folder),
            f"{num_train} training pairs",
            f"a batch of {config.optimizer.batch_size} or more",
            "lower diffusion.optimizer.batch_size or synthesize more pairs",
        )
    prior: Prior = "linear" if pool is None else "nearness"
    shape, anchors_ND, hubness_N, known = config.network.for_pairs(pairs.num_rows, pairs.dim, prior), None, None, None
    if shape.num_anchors:
        anchors_ND = choose_anchors(pairs_folder, shape, pool and pool[1], config.optimizer.batch_size)
        shape = shape.model_copy(update={"num_anchors": len(anchors_ND)})
    check_enough_anchors(config.sampler[task].solver, shape, task)
    if anchors_ND is not None and pool is not None:
        hubness_N = hubness(anchors_ND, training_queries(pairs_folder).numpy())
        numbers = anchors_of_entries(pool[1], anchors_ND).tolist()
        known = known_answers(
            pairs_folder, {name: number for name, number in zip(pool[0], numbers, strict=True) if number != NO_ENTRY}
        )
    if known is not None:
        num_keys, num_entries = known.entries_TR.shape
        shape = shape.model_copy(update={"num_keys": num_keys, "num_key_entries": num_entries})
        _logger.info("train-diffusion %s: %d queries with relevant entries are remembered", task, num_keys)
    _logger.info("train-diffusion %s: %d training pairs, %d validation pairs", task, num_train, pairs.val)
    return TaskJob(
        task=task,
        pairs_folder=pairs_folder,
        config=config,
        shape=shape,
        anchors_ND=anchors_ND,
        hubness_N=hubness_N,
        known=known,
        has_validation=min(pairs.val, config.validation_rows) > 0,
        files=pairs.train,
        mean_weight=mean_weight(pairs_folder),
    )


def check_enough_anchors(solver: SolverName, shape: NetworkConfig, task: Task) -> None:
    """Raise DataError if the solver returns anchors and there are fewer than L of them."""
    if SOLVERS[solver].is_ranked and shape.num_anchors < shape.num_rows:
        raise DataError(
            f"train-diffusion {task}",
            f"{shape.num_anchors} anchors",
            f"pairs.num_rows = {shape.num_rows} or more for the solver {solver}",
            "use a larger catalogue, lower pairs.num_rows, raise diffusion.network.num_anchors, or set "
            f"diffusion.sampler.{task}.solver to another solver such as dpmpp_2m",
        )


def _scaling(config: DiffusionConfig) -> ray.train.ScalingConfig:
    """Resources of the workers. Streamed pairs are read with the remaining CPUs, at least one."""
    workers = config.workers
    return ray.train.ScalingConfig(
        num_workers=workers.num,
        use_gpu=workers.gpus > 0,
        resources_per_worker={"CPU": workers.cpus, **({"GPU": workers.gpus} if workers.gpus else {})},
    )


def _run_config(config: DiffusionConfig, staging: Path) -> ray.train.RunConfig:
    return ray.train.RunConfig(
        name="retrievers",
        storage_path=str(staging),
        checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
        failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
    )
