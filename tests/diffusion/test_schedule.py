from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

from r4t_ray.diffusion.schedule import SCHEDULES, sampling_sigmas, training_sigmas
from r4t_ray.diffusion.settings import Levels, NoiseConfig

NOISE = NoiseConfig(sigma_min=1e-4, sigma_max=80.0, train_levels="log_uniform")


def test_every_named_schedule_has_a_function() -> None:
    assert set(SCHEDULES) == set(get_args(Levels))


@pytest.mark.parametrize("levels", sorted(SCHEDULES))
def test_schedules_rise_over_the_whole_range(levels: str) -> None:
    sigma = SCHEDULES[levels](torch.linspace(0, 1, 501, dtype=torch.float64), NOISE)
    assert float(sigma[0]) == pytest.approx(NOISE.sigma_min, rel=1e-9)
    assert float(sigma[-1]) == pytest.approx(NOISE.sigma_max, rel=1e-9)
    assert bool((sigma.diff() > 0).all()) or levels == "lognormal"
    assert bool((sigma.diff() >= 0).all())


def test_tangent_is_the_cosine_schedule_in_sigma() -> None:
    """1 / (1 + (c sigma)^2) = cos(1.5 t)^2, where c undoes the scaling; t is evenly spaced."""
    u = torch.linspace(0, 1, 7, dtype=torch.float64)
    sigma = SCHEDULES["tangent"](u, NOISE)
    angle = torch.arccos((1 / (1 + (sigma * math.tan(1.5) / NOISE.sigma_max) ** 2)).sqrt())
    assert angle.diff().numpy() == pytest.approx([float(angle[-1] - angle[0]) / 6] * 6, rel=1e-6)
    assert float(angle[-1]) == pytest.approx(1.5)


def test_lognormal_has_the_quantiles_of_edm() -> None:
    """EDM at sigma_data 0.5: the median is exp(-1.2), one standard deviation above it is exp(-1.2 + 1.2)."""
    noise = NoiseConfig(
        sigma_data=0.5, lognormal_mean=-1.2 - math.log(0.5), lognormal_std=1.2, sigma_min=1e-4, sigma_max=80.0
    )
    u = torch.tensor([0.5, 0.841344746], dtype=torch.float64)
    assert SCHEDULES["lognormal"](u, noise).tolist() == pytest.approx([math.exp(-1.2), 1.0], rel=1e-6)


@pytest.mark.parametrize("num_steps", [2, 5, 40])
@pytest.mark.parametrize("scheduler", [EDMEulerScheduler, EDMDPMSolverMultistepScheduler])
def test_karras_steps_equal_diffusers(scheduler: type, num_steps: int) -> None:
    reference = scheduler(sigma_min=1e-4, sigma_max=80.0, sigma_data=0.088, rho=7.0, sigma_schedule="karras")
    reference.set_timesteps(num_steps)
    ours = sampling_sigmas("karras", num_steps, NOISE)
    assert ours.numpy() == pytest.approx(reference.sigmas.double().numpy(), rel=2e-5)


def test_log_uniform_steps_equal_the_exponential_steps_of_diffusers() -> None:
    reference = EDMEulerScheduler(sigma_min=1e-4, sigma_max=80.0, sigma_schedule="exponential")
    reference.set_timesteps(11)
    ours = sampling_sigmas("log_uniform", 11, NOISE)
    assert ours.numpy() == pytest.approx(reference.sigmas.double().numpy(), rel=2e-5)


@pytest.mark.parametrize("levels", ["tangent", "log_uniform", "karras"])
def test_sampling_steps_fall_to_zero(levels: str) -> None:
    sigmas_S = sampling_sigmas(levels, 9, NOISE)
    assert sigmas_S.shape == (10,)
    assert bool((sigmas_S.diff() < 0).all())
    assert float(sigmas_S[-1]) == 0
    assert sampling_sigmas(levels, 1, NOISE).tolist() == pytest.approx([80.0, 0.0])


def test_training_levels_cover_the_range_evenly_in_log() -> None:
    """Each tenth of a log-uniform batch of 1000 lies in its tenth of the range, up to the grid's shift."""
    sigma_B = training_sigmas(1000, NOISE, torch.Generator().manual_seed(3))
    u_B = (sigma_B.double() / NOISE.sigma_min).log() / math.log(NOISE.sigma_max / NOISE.sigma_min)
    counts = torch.histc(u_B, 10, 0, 1)
    assert bool(((counts - 100).abs() <= 1).all())


def test_training_levels_repeat_with_the_seed() -> None:
    first, again, other = (training_sigmas(8, NOISE, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
