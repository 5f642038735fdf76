"""Checkpoints of Soft-GRPO between two batches of rollouts, and the stop that a SIGTERM asks for.

A checkpoint is what transformers' Trainer writes (weights, optimizer, schedule, random states) and the metrics so far.
Samples depend on the weights and on a seed of the step alone, so a run that goes on from one ends as an unbroken one.
With ``max_staleness`` 1 it does not, in one step: the samples that were being made from older weights are made anew.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from r4t_ray.folm.metrics import METRICS, read_metrics, write_metrics

if TYPE_CHECKING:
    from r4t_ray.folm.learner import Learner

STOP = "STOP"
"""A file of this name in a task's folder asks its learner for a checkpoint and an early end."""
LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "sampling/logp_gap_mean": "logp_gap_mean",
    "sampling/logp_gap_max": "logp_gap_max",
}
"""Names in the Trainer's log -> in ``StepMetrics.update``."""


class ReportCheckpoint(TrainerCallback):
    """Hands every checkpoint to Ray Train, and makes one when a stop is asked for.

    Reporting is a barrier: every worker calls it, and rank 0 alone brings the files.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Between two batches, save and end if any worker sees the file ``STOP``."""
        if state.global_step % self._learner.grpo.num_iterations:
            return
        seen = torch.tensor([float((self._learner.folder / STOP).exists())])
        accelerator = self._learner.trainer.accelerator
        if float(accelerator.gather(seen.to(accelerator.device)).max()):
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Put the figures of the update beside those of the batch it used; of several passes the last one's stay."""
        rows, logged = self._learner.rows, {LOGGED[name]: value for name, value in logs.items() if name in LOGGED}
        rows[-1] = replace(rows[-1], update={**rows[-1].update, **logged})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report the folder that the Trainer has just written."""
        import ray.train

        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_metrics(self._learner.rows, folder / METRICS)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(
            {"step": self._learner.num_batches}, checkpoint=checkpoint, delete_local_checkpoint_after_upload=True
        )


def train_from_last_checkpoint(learner: Learner) -> None:
    """Train to the end, or to a stop, from the last checkpoint that Ray Train has of this run."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        learner.trainer.train()
        return
    with checkpoint.as_directory() as folder:
        learner.rows = read_metrics(Path(folder) / METRICS)
        learner.num_resumed = len(learner.rows)
        learner.trainer.train(resume_from_checkpoint=str(folder))


@contextmanager
def stop_on_sigterm(folder: Path) -> Iterator[None]:
    """While this holds, SIGTERM asks the learner that works in ``folder`` to stop, and ends the process once it has.

    Outside the main thread, where Python allows no signal handler, it does nothing.

    Raises:
        SystemExit: With 143, after the body, when a stop was asked for.
    """
    request = folder / STOP
    request.unlink(missing_ok=True)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: request.touch())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if request.exists():
        request.unlink()
        raise SystemExit(128 + signal.SIGTERM)
