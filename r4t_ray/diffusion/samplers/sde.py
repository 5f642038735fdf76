"""Euler-Maruyama on the reverse variance-exploding SDE; the reference at 256 steps (arXiv 2603.06397, sec. 2.5)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sde(
    denoise: Callable[[Tensor, Tensor], Tensor],
    noise_BLD: Tensor,
    sigmas_S: Tensor,
    draw: Callable[[], Tensor],
) -> Tensor:
    """Solve dz = -score d(sigma^2) + dW backwards, where W has variance sigma^2 and score = (D - z) / sigma^2.

    Source: arXiv 2011.13456, eq. 6 for the variance-exploding SDE, discretised in sigma^2. The step to sigma = 0 adds
    no noise and returns the denoiser's output. ``draw`` gives the standard normal noise of the other steps.
    """
    z_BLD = noise_BLD
    for sigma, sigma_next in pairwise(sigmas_S.tolist()):
        removed = sigma**2 - sigma_next**2
        denoised_BLD = denoise(z_BLD, z_BLD.new_full((len(z_BLD),), sigma))
        z_BLD = z_BLD + removed / sigma**2 * (denoised_BLD - z_BLD)
        if sigma_next > 0:
            z_BLD = z_BLD + removed**0.5 * draw()
    return z_BLD
