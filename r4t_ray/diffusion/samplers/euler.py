"""Euler's method on the probability-flow ODE; one call of the denoiser a step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


def euler(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise_BLD: Tensor,
    sigmas_S: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """First-order solution of dz/dsigma = (z - D(z; sigma)) / sigma (arXiv 2206.00364, eq. 1 with sigma(t) = t).

    ``generator`` is not used. The step to sigma = 0 returns the denoiser's output.
    """
    z_BLD = noise_BLD
    for sigma, sigma_next in pairwise(sigmas_S.tolist()):
        slope_BLD = (z_BLD - denoise(z_BLD, z_BLD.new_full((len(z_BLD),), sigma))) / sigma
        z_BLD = z_BLD + (sigma_next - sigma) * slope_BLD
    return z_BLD
