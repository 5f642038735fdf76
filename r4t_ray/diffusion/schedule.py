"""Noise schedules as maps from u in [0, 1] to sigma in [sigma_min, sigma_max], increasing.

A schedule has two uses: a uniform random u gives a noise level of training, and an even grid of u gives the noise
levels of sampling.

Where this leaves arXiv 2603.06397:

1. The paper names a tangent schedule on [1e-4, 80], as in swirl-dynamics. There it relates sigma to time, while
   training samples noise levels log-uniformly and sampling steps along the grid of Karras et al. Both are the defaults
   here. The solvers here step in sigma, so they need no relation to time. ``tangent`` can be set for the levels of
   training and of sampling; 3.5% of the training levels then lie below sigma = 0.3, where unit rows of width 128 take
   shape.
2. The range is absolute, not in units of sigma_data.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from r4t_ray.diffusion.settings import NoiseConfig

TANGENT_END = 1.5
"""Right end, in radians, of the section of tan that the tangent schedule uses."""

KARRAS_RHO = 7.0


def tangent(u: Tensor, noise: NoiseConfig) -> Tensor:
    """Tangent schedule, as in swirl-dynamics: sigma(t) = sigma_max tan(1.5 t) / tan(1.5).

    ``u`` in [0, 1] maps linearly to t in [t_min, 1], where sigma(t_min) = sigma_min. This is the cosine schedule of
    arXiv 2105.05233 in sigma, because cos(a)^2 = 1 / (1 + tan(a)^2), with sigma rescaled so that it ends at sigma_max.
    """
    t_min = math.atan(noise.sigma_min / noise.sigma_max * math.tan(TANGENT_END)) / TANGENT_END
    t = t_min + (1 - t_min) * u
    return noise.sigma_max * torch.tan(TANGENT_END * t) / math.tan(TANGENT_END)


def log_uniform(u: Tensor, noise: NoiseConfig) -> Tensor:
    """Geometric schedule: sigma = sigma_min (sigma_max / sigma_min)^u."""
    return noise.sigma_min * (noise.sigma_max / noise.sigma_min) ** u


def karras(u: Tensor, noise: NoiseConfig) -> Tensor:
    """Polynomial schedule with rho = 7 (arXiv 2206.00364, eq. 5), from sigma_min at u = 0."""
    low, high = noise.sigma_min ** (1 / KARRAS_RHO), noise.sigma_max ** (1 / KARRAS_RHO)
    return (low + u * (high - low)) ** KARRAS_RHO


def lognormal(u: Tensor, noise: NoiseConfig) -> Tensor:
    """Quantiles of EDM's training levels (arXiv 2206.00364, Table 1), clipped to the range.

    ln(sigma) is normal around ln(sigma_data) + lognormal_mean. The edges u = 0 and u = 1 give sigma_min and sigma_max.
    """
    center = math.log(noise.sigma_data) + noise.lognormal_mean
    log_sigma = center + noise.lognormal_std * math.sqrt(2) * torch.erfinv(2 * u - 1)
    return log_sigma.exp().clamp(noise.sigma_min, noise.sigma_max)


SCHEDULES: dict[str, Callable[[Tensor, NoiseConfig], Tensor]] = {
    "tangent": tangent,
    "log_uniform": log_uniform,
    "karras": karras,
    "lognormal": lognormal,
}


def sampling_sigmas(levels: str, num_steps: int, noise: NoiseConfig) -> Tensor:
    """The ``num_steps`` levels from sigma_max down to sigma_min, followed by 0.

    Returns:
        float64, shape (num_steps + 1,), strictly decreasing; [sigma_max, 0] for one step.

    >>> sampling_sigmas("log_uniform", 3, NoiseConfig(sigma_min=0.01, sigma_max=1.0)).tolist()
    [1.0, 0.1, 0.01, 0.0]
    """
    u = torch.linspace(1, 0, num_steps, dtype=torch.float64)
    return torch.cat([SCHEDULES[levels](u, noise), torch.zeros(1, dtype=torch.float64)])


def training_sigmas(batch_size: int, noise: NoiseConfig, generator: torch.Generator | None = None) -> Tensor:
    """Sample a noise level for each example of a batch.

    The values of u are an even grid with one common random shift modulo 1. So each u is uniform, and every batch covers
    the range.

    Returns:
        float32 sigma_B on the generator's device.
    """
    device = generator.device if generator is not None else torch.device("cpu")
    shift = torch.rand((), generator=generator, device=device)
    u_B = (torch.arange(batch_size, device=device) / batch_size + shift) % 1
    return SCHEDULES[noise.train_levels](u_B, noise).float()
