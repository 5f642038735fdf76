"""Heun's method on the probability-flow ODE; two denoiser calls per step, and one for the step to sigma = 0."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def heun(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise_BLD: Tensor,
    sigmas_S: Tensor,
    draw: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Second-order solution of dz/dsigma = (z - D(z; sigma)) / sigma (arXiv 2206.00364, algorithm 1).

    ``draw`` is not used.
    """
    z_BLD = noise_BLD
    for sigma, sigma_next in pairwise(sigmas_S.tolist()):
        # Lines 4-5: an Euler step.
        slope_BLD = (z_BLD - denoise(z_BLD, z_BLD.new_full((len(z_BLD),), sigma))) / sigma
        euler_BLD = z_BLD + (sigma_next - sigma) * slope_BLD
        if sigma_next == 0:
            return euler_BLD
        # Lines 6-8: the slope at the end of the Euler step, then one step with the mean of both slopes.
        end_slope_BLD = (euler_BLD - denoise(euler_BLD, z_BLD.new_full((len(z_BLD),), sigma_next))) / sigma_next
        z_BLD = z_BLD + (sigma_next - sigma) * (slope_BLD + end_slope_BLD) / 2
    return z_BLD
