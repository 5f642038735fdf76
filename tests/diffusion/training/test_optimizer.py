from __future__ import annotations

import pytest

from r4t_ray.diffusion.settings import OptimizerConfig
from r4t_ray.diffusion.training.optimizer import learning_rate


def test_by_hand() -> None:
    """Warm-up in quarters to 0.8, then half a cosine over 8 steps: 1, (1 + cos 45°)/2, 1/2, 0."""
    config = OptimizerConfig(learning_rate=0.8, warmup_steps=4, num_steps=12)
    assert [learning_rate(step, config) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert [learning_rate(step, config) for step in (6, 8, 12)] == pytest.approx([0.8 * 0.8535533906, 0.4, 0.0])


def test_without_warm_up_and_shorter_than_it() -> None:
    assert learning_rate(0, OptimizerConfig(learning_rate=1.0, warmup_steps=0, num_steps=5)) == 1.0
    assert learning_rate(4, OptimizerConfig(learning_rate=1.0, warmup_steps=10, num_steps=5)) == 0.5
