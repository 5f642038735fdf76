"""Euler's method on the probability-flow ODE; one denoiser call per step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def euler(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise_BLD: Tensor,
    sigmas_S: Tensor,
    draw: Callable[[], Tensor] | None = None,
) -> Tensor:
    """First-order solution of dz/dsigma = (z - D(z; sigma)) / sigma (arXiv 2206.00364, eq. 1 with sigma(t) = t).

    ``draw`` is not used. The step to sigma = 0 returns the denoiser's output.
    """
    z_BLD = noise_BLD
    for sigma, sigma_next in pairwise(sigmas_S.tolist()):
        z_BLD = euler_step(denoise, z_BLD, sigma, sigma_next)
    return z_BLD


def euler_step(
    denoise: Callable[[Tensor, Tensor], Tensor],
    z_BLD: Tensor,
    sigma: float | Tensor,
    sigma_next: float | Tensor,
) -> Tensor:
    """One step from ``sigma`` (above 0) to ``sigma_next``: two floats, or scalar tensors in an exported program."""
    sigma_B = sigma * z_BLD.new_ones(z_BLD.shape[0])
    slope_BLD = (z_BLD - denoise(z_BLD, sigma_B)) / sigma
    return z_BLD + (sigma_next - sigma) * slope_BLD
