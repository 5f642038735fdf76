"""The training loop of one Ray Train worker."""

from __future__ import annotations

import shutil

import torch

from r4t_ray.errors import R4TError
from r4t_ray.files import read_error, write_error
from r4t_ray.folm.learner.job import LearnerJob
from r4t_ray.folm.learner.metrics import METRICS
from r4t_ray.folm.validation import BEST
from r4t_ray.folm.weights.disk import save_weights

FAULT = "fault.json"
"""Name of the file with the error that ended a task's learner, if only a person can correct the fault."""


def keep_vllm_out_of_trl() -> None:
    """Stop trl from importing vLLM. The import takes seconds, and a learner does not sample.

    Call this before trl's trainer is imported.
    """
    from trl import import_utils

    import_utils.is_vllm_available = lambda min_version=None: False


def train_worker(arguments: dict[str, LearnerJob]) -> None:
    """Ray Train's loop of one worker: build the learner, train, and write the result.

    A fault that only a person can correct would repeat after every restart by Ray. It is therefore written to a file,
    and the next start raises it at once.

    Args:
        arguments: The job, under the key "job".

    Raises:
        R4TError: A fault that only a person can correct, of this start or an earlier one.
    """
    import ray.train
    from ray.train.huggingface.transformers import prepare_trainer

    keep_vllm_out_of_trl()
    from r4t_ray.folm.learner.build import build_learner
    from r4t_ray.folm.learner.checkpoints import train_from_last_checkpoint

    job = arguments["job"]
    fault = job.folder / FAULT
    if fault.exists():
        raise read_error(fault)
    if not job.config.learner.gpus:
        torch.set_num_threads(job.config.learner.num_threads)
    try:
        trainer, log, validation = build_learner(job)
        prepare_trainer(trainer)
        train_from_last_checkpoint(trainer, log)
        is_complete = trainer.num_batches == job.grpo.num_steps
        if is_complete and validation.is_on:
            validation.run(trainer.num_batches, trainer)
    except R4TError as error:
        write_error(error, fault)
        raise
    if is_complete or validation.is_over:
        if not validation.is_on:
            save_weights(trainer, job.folder / "model")
        if trainer.accelerator.is_main_process:
            if validation.is_on:
                shutil.copytree(job.folder / BEST, job.folder / "model", dirs_exist_ok=True)
            log.write(job.folder / METRICS)  # last: a task with metrics is finished
    ray.train.report({"step": trainer.num_batches})
