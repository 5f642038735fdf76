"""Metrics of one step, for tests of the run log and of the status."""

from __future__ import annotations

from r4t_ray.folm.learner.metrics import StepMetrics


def step_of(number: int) -> StepMetrics:
    """A step of OAR without faults."""
    return StepMetrics(
        step=number,
        task="oar",
        start=1,
        weights="step-00000000",
        num_rollouts=8,
        mean_tokens=20.0,
        staleness=0.0,
        cache_hit_rate=0.5,
        reward=0.25,
        reward_std=0.1,
        components={"vendi": 0.2},
        component_std={"vendi": 0.1},
        seconds={"step": 2.0},
        faults={"dropped": 0},
    )
