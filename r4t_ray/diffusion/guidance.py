"""Classifier-free guidance (arXiv 2207.12598) with both passes in one batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def guided_denoiser(
    denoise: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], z_q_BD: Tensor, guidance: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Bind queries to a conditional denoiser: D = (1 + g) D_c - g D_u.

    Args:
        denoise: ``(z_BLD, sigma_B, z_q_BD, is_dropped_B) -> D``.
        z_q_BD: The queries.
        guidance: Strength g; at 0 the unconditional pass is left out.

    Returns:
        ``(z_BLD, sigma_B) -> D``, what a sampler takes.
    """
    num_queries = z_q_BD.shape[0]  # len() would fix the batch of an exported program
    is_dropped_B = torch.zeros(num_queries, dtype=torch.bool, device=z_q_BD.device)
    if guidance == 0:
        return lambda z_BLD, sigma_B: denoise(z_BLD, sigma_B, z_q_BD, is_dropped_B)
    both_queries = torch.cat([z_q_BD, z_q_BD])
    both_dropped = torch.cat([is_dropped_B, ~is_dropped_B])

    def guided(z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        both = denoise(torch.cat([z_BLD, z_BLD]), torch.cat([sigma_B, sigma_B]), both_queries, both_dropped)
        return (1 + guidance) * both[:num_queries] - guidance * both[num_queries:]

    return guided
