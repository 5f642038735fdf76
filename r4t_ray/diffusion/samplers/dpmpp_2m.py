"""DPM-Solver++(2M): second order with one denoiser call per step, because it reuses the previous step's estimate."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def dpmpp_2m(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise_BLD: Tensor,
    sigmas_S: Tensor,
    draw: Callable[[], Tensor] | None = None,
) -> Tensor:
    """Multistep exponential integrator in lambda = -ln(sigma) (arXiv 2211.01095, algorithm 2, scale 1).

    ``draw`` is not used. The first step and the step to sigma = 0 are of first order.
    """
    z_BLD, last_BLD, last_h = noise_BLD, None, 0.0
    for sigma, sigma_next in pairwise(sigmas_S.tolist()):
        denoised_BLD = estimate_BLD = denoise(z_BLD, z_BLD.new_full((len(z_BLD),), sigma))
        if sigma_next > 0:
            h = math.log(sigma / sigma_next)
            if last_BLD is not None:
                # Extrapolate the last two estimates to the middle of the step.
                estimate_BLD = denoised_BLD + (denoised_BLD - last_BLD) * h / (2 * last_h)
            last_BLD, last_h = denoised_BLD, h
        z_BLD = sigma_next / sigma * z_BLD + (1 - sigma_next / sigma) * estimate_BLD
    return z_BLD
