"""One evaluation at sigma_max, for a student that has learned the ends of its teacher's trajectories.

For any other retriever the estimate at sigma_max is the mean of all sets that it might sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from r4t_ray.diffusion.samplers.solver import Denoise


def one_step(denoise: Denoise, start_BLD: Tensor, sigmas_S: Tensor, draw: Callable[[], Tensor] | None = None) -> Tensor:
    """Return each row's most likely anchor; for a network without anchors, D as unit rows.

    Only the first level of ``sigmas_S`` is used. ``draw`` is not used.
    """
    sigma_B = sigmas_S[0] * start_BLD.new_ones(start_BLD.shape[0])  # len() would fix the batch of an exported program
    if denoise.anchors_ND is None:
        estimate_BLD = denoise(start_BLD, sigma_B)
        return estimate_BLD / estimate_BLD.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return denoise.anchors_ND[denoise.anchor_logits(start_BLD, sigma_B).argmax(dim=-1)]
