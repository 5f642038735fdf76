"""Checkpoints of Soft-GRPO between two batches of rollouts, and a clean stop on SIGTERM.

A checkpoint holds the state of transformers' Trainer (weights, optimizer, schedule, random states) and the metrics so
far. Samples depend only on the weights and on the step's seed, so a resumed run gives the same result as an
uninterrupted one. The exception is ``max_staleness`` 1: the first step after a resume then uses samples of newer
weights.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from r4t_ray.folm.learner.metrics import METRICS
from r4t_ray.folm.learner.run_log import RunLog
from r4t_ray.folm.validation import Validation

STOP = "STOP"
"""Name of a file in a task's folder. While it is there, the learner writes a checkpoint and ends."""
LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "sampling/logp_gap_mean": "logp_gap_mean",
    "sampling/logp_gap_max": "logp_gap_max",
}
"""Name in the Trainer's log -> name in ``StepMetrics.update``."""


class ReportCheckpoint(TrainerCallback):
    """Reports every checkpoint to Ray Train, makes the Trainer save one before a stop, and ends a run without gain.

    Reporting is a barrier, so every worker calls it. Only rank 0 reports files.
    """

    def __init__(self, trainer: Any, log: RunLog, validation: Validation) -> None:
        self._trainer, self._log, self._validation = trainer, log, validation

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save at the interval of the settings. A checkpoint holds the interval of the run that wrote it."""
        state.save_steps = args.save_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Between two batches, end if validation is over, or save and end if any worker sees the file ``STOP``."""
        if state.global_step % self._trainer.grpo.num_iterations:
            return
        if self._validation.is_over:
            control.should_training_stop = True
            return
        seen = torch.tensor([float((self._log.folder / STOP).exists())])
        accelerator = self._trainer.accelerator
        if float(accelerator.gather(seen.to(accelerator.device)).max()):
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Add the metrics of an optimizer step to the row of its batch."""
        self._log.add_update({LOGGED[name]: value for name, value in logs.items() if name in LOGGED})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report the folder that the Trainer has just written."""
        import ray.train

        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._log.write(folder / METRICS)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(
            {"step": self._trainer.num_batches}, checkpoint=checkpoint, delete_local_checkpoint_after_upload=True
        )


def train_from_last_checkpoint(trainer: Any, log: RunLog) -> None:
    """Train until the end or a stop. Resumes from Ray Train's last checkpoint of this run if there is one."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        trainer.train()
        return
    with checkpoint.as_directory() as folder:
        log.resume(Path(folder) / METRICS)
        trainer.train(resume_from_checkpoint=str(folder))


@contextmanager
def stop_on_sigterm(folder: Path) -> Iterator[None]:
    """While the body runs, SIGTERM asks the learner of ``folder`` to stop. The process ends after the learner stopped.

    Outside the main thread this does nothing, because Python allows signal handlers only in the main thread.

    Raises:
        SystemExit: With code 143 after the body, if a stop was requested.
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
