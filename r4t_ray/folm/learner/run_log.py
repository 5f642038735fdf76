"""The record of a learner's run: the metrics of each step, the pace, and the number of starts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from r4t_ray.folm.learner.metrics import StepMetrics, read_metrics, write_metrics


class RunLog:
    """The metrics of one task's training so far.

    Args:
        folder: The task's folder.
        num_steps: Steps of the whole run.
        num_workers: Learners that share each step.
        starts: Number of starts of this folder's learner, this one included.
    """

    def __init__(self, *, folder: Path, num_steps: int, num_workers: int, starts: int) -> None:
        self.folder, self.num_steps, self.num_workers, self.starts = folder, num_steps, num_workers, starts
        self.rows: list[StepMetrics] = []
        self._num_resumed = 0
        self._started = self._lap = time.monotonic()

    @property
    def rows_of_this_start(self) -> Sequence[StepMetrics]:
        """The rows that this process added."""
        return self.rows[self._num_resumed :]

    @property
    def seconds(self) -> float:
        """Seconds since this process began."""
        return time.monotonic() - self._started

    def lap(self) -> float:
        """Seconds since the last call, or since the start."""
        now = time.monotonic()
        seconds, self._lap = now - self._lap, now
        return seconds

    def add(self, rows: Sequence[StepMetrics]) -> None:
        """Append the rows of a step."""
        self.rows += rows

    def add_update(self, figures: Mapping[str, float]) -> None:
        """Add the metrics of an optimizer step to the row of its batch. The last step of a batch overwrites others."""
        last = self.rows[-1]
        self.rows[-1] = replace(last, update={**last.update, **figures})

    def resume(self, path: Path) -> None:
        """Load the rows that an earlier start wrote to ``path``."""
        self.rows = read_metrics(path)
        self._num_resumed = len(self.rows)

    def write(self, path: Path) -> None:
        """Write all rows to one parquet file."""
        write_metrics(self.rows, path)
