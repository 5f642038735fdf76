"""The number of evaluations, compared with a denoiser that counts its calls."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from benchmarks.evaluations import evaluations_of, steps_within
from r4t_ray.diffusion import SOLVERS, NoiseConfig, SolverName
from r4t_ray.diffusion.schedule import sampling_sigmas

STEPPING = [solver for solver in get_args(SolverName) if SOLVERS[solver].is_stepwise]


@pytest.mark.parametrize("solver", STEPPING)
@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_counts_equal_the_calls_of_the_solver(solver: SolverName, num_steps: int) -> None:
    calls = 0

    def denoise(z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return z_BLD / 2

    SOLVERS[solver].function(
        denoise,
        torch.ones(1, 2, 3),
        sampling_sigmas("karras", num_steps, NoiseConfig(sigma_min=1e-4, sigma_max=80.0)),
        lambda: torch.ones(1, 2, 3),
    )
    assert calls == evaluations_of(solver, num_steps)


@pytest.mark.parametrize("solver", get_args(SolverName))
@pytest.mark.parametrize("asked", [1, 2, 3, 4, 8, 16, 256])
def test_steps_are_the_most_that_fit(solver: SolverName, asked: int) -> None:
    steps = steps_within(solver, asked)
    assert evaluations_of(solver, steps) <= asked
    assert solver in ("top_anchors", "one_step") or evaluations_of(solver, steps + 1) > asked
