"""Publishes the learner's weights, on disk or by transfer from memory, once for each state of the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from r4t_ray.folm.weights.disk import publish_weights
from r4t_ray.folm.weights.transfer import TransferredWeights

Publish = Callable[[Any], Path]
"""``trainer -> name``: send the trainer's weights to the engines, and return the name that requests use for them."""


class WeightPublisher:
    """Publishes the weights of a trainer, at most once for each of its optimizer steps."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._step = -1
        self._name = Path()
        self._seconds = 0.0

    def current(self, trainer: Any) -> Path:
        """The name of the trainer's current weights. Publishes them if they are new."""
        step = int(trainer.state.global_step)
        if step != self._step:
            before = time.monotonic()
            self._name, self._step = self._publish(trainer), step
            self._seconds += time.monotonic() - before
        return self._name

    def take_seconds(self) -> float:
        """Seconds spent on publishing since the last call."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


def choose_publish(
    kind: Literal["disk", "gloo", "nccl"], *, actors: Sequence[Any], folder: Path, timeout_s: float
) -> Publish:
    """The function that sends weights to all ``actors``: by files in ``folder``, or by transfer to their engines."""
    if kind == "disk":
        return partial(publish_weights, folder=folder)
    return TransferredWeights(actors, kind, timeout_s).publish
