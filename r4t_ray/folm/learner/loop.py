"""The training loop of one Ray Train worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from r4t_ray.errors import R4TError, read_error, write_error
from r4t_ray.folm.settings import FolmConfig

FAULT = "fault.json"
"""Why a task's learner ended, where a person has to mend it."""


def keep_vllm_out_of_trl() -> None:
    """Have trl, imported later, do without vLLM: it takes seconds of every start, and a learner does not sample."""
    from trl import import_utils

    import_utils.is_vllm_available = lambda min_version=None: False


def learn(settings: dict[str, Any]) -> None:
    """The Ray Train worker's loop: build the learner, train, and write the result.

    A fault that is a person's to mend comes again however often Ray restarts the workers: it is kept in a file, and the
    next start ends on it at once.
    """
    import ray.train
    from ray.train.huggingface.transformers import prepare_trainer

    keep_vllm_out_of_trl()
    from r4t_ray.folm.learner.checkpoints import train_from_last_checkpoint
    from r4t_ray.folm.learner.learner import build_learner

    fault = Path(settings["folder"]) / FAULT
    if fault.exists():
        raise read_error(fault)
    config = FolmConfig.model_validate(settings["config"])
    if config.learner_threads:
        torch.set_num_threads(config.learner_threads)
    try:
        learner = build_learner(config, settings)
        prepare_trainer(learner.trainer)
        train_from_last_checkpoint(learner)
    except R4TError as error:
        write_error(error, fault)
        raise
    if learner.num_batches == learner.grpo.steps:
        learner.write()
    ray.train.report({"steps": learner.num_batches})
