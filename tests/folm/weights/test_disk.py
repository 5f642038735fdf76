"""Weights on disk: which folders are kept, and their mark of completeness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from r4t_ray.encoders import resolve_model
from r4t_ray.folm.policy.loading import load_trainable
from r4t_ray.folm.weights.disk import publish_weights


def test_published_weights_keep_the_newest_two(trainer_at: Callable[[Any, int], Any], tmp_path: Path) -> None:
    model = load_trainable(resolve_model("package:r4t_ray/folm/base_model"))
    for step in (0, 2, 4):
        assert (publish_weights(trainer_at(model, step), tmp_path) / "COMPLETE").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000004"]
