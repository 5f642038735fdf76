from __future__ import annotations

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

from r4t_ray.diffusion.preconditioning import c_in, c_noise, c_out, c_skip

SIGMA_DATA = 0.088
SIGMA_S = torch.tensor([1e-4, 0.01, 0.088, 1.0, 80.0], dtype=torch.float64)


@pytest.mark.parametrize("scheduler", [EDMEulerScheduler, EDMDPMSolverMultistepScheduler])
def test_agrees_with_diffusers(scheduler: type) -> None:
    reference = scheduler(sigma_min=1e-4, sigma_max=80.0, sigma_data=SIGMA_DATA)
    sample, output = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours_in = c_in(SIGMA_S, SIGMA_DATA) * sample
    ours_out = c_skip(SIGMA_S, SIGMA_DATA) * sample + c_out(SIGMA_S, SIGMA_DATA) * output
    assert torch.allclose(ours_in, reference.precondition_inputs(sample, SIGMA_S), rtol=1e-12)
    assert torch.allclose(ours_out, reference.precondition_outputs(sample, output, SIGMA_S), rtol=1e-12)
    assert torch.allclose(c_noise(SIGMA_S), reference.precondition_noise(SIGMA_S), rtol=1e-12)


def test_network_sees_and_is_asked_for_unit_variance() -> None:
    """Var(c_in (z + sigma eps)) = 1, and so has (z - c_skip (z + sigma eps)) / c_out, for Var(z) = sd^2."""
    data, noise = SIGMA_DATA**2, SIGMA_S**2
    assert torch.allclose(c_in(SIGMA_S, SIGMA_DATA) ** 2 * (data + noise), torch.ones(5, dtype=torch.float64))
    skip = c_skip(SIGMA_S, SIGMA_DATA)
    target_variance = ((1 - skip) ** 2 * data + skip**2 * noise) / c_out(SIGMA_S, SIGMA_DATA) ** 2
    assert torch.allclose(target_variance, torch.ones(5, dtype=torch.float64))
