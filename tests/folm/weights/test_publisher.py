"""Weights are published once for each state of the learner, and their time is reported once."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from r4t_ray.folm.weights.publisher import WeightPublisher


def test_weights_are_published_only_when_they_are_new() -> None:
    published: list[int] = []

    def publish(trainer: Any) -> Path:
        published.append(trainer.state.global_step)
        time.sleep(0.01)
        return Path(f"step-{trainer.state.global_step}")

    publisher = WeightPublisher(publish)
    names = [publisher.current(SimpleNamespace(state=SimpleNamespace(global_step=step))) for step in (0, 0, 2, 2)]
    assert [str(name) for name in names] == ["step-0", "step-0", "step-2", "step-2"]
    assert published == [0, 2]
    assert publisher.take_seconds() >= 0.02
    assert publisher.take_seconds() == 0
