"""Classifier-free guidance (arXiv 2207.12598) with both passes in one batch."""

from __future__ import annotations

import torch
from torch import Tensor

from r4t_ray.diffusion.denoiser import QueryDenoiser


class Guided:
    """A transform of the estimate: D = (1 + g) D_c - g D_u, in one evaluation of twice the batch size.

    D_c is the conditional estimate. D_u is the estimate with the null embedding as the query. The anchors' logits stay
    conditional.

    Args:
        denoise: The conditional denoiser of the queries.
        guidance: Guidance strength g, above 0; at 0 the transform would only double the work.
    """

    def __init__(self, denoise: QueryDenoiser, guidance: float) -> None:
        self.denoise, self.guidance, self.anchors_ND = denoise, guidance, denoise.anchors_ND
        self.queries_2BD = torch.cat([denoise.z_q_BD, denoise.z_q_BD])
        self.is_dropped_2B = torch.cat([denoise.is_dropped_B, ~denoise.is_dropped_B])

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The guided estimate."""
        z_2BLD, sigma_2B = torch.cat([z_BLD, z_BLD]), torch.cat([sigma_B, sigma_B])
        both_2BLD = self.denoise.denoiser(z_2BLD, sigma_2B, self.queries_2BD, self.is_dropped_2B)
        num_queries = self.denoise.z_q_BD.shape[0]  # len() would fix the batch of an exported program
        return (1 + self.guidance) * both_2BLD[:num_queries] - self.guidance * both_2BLD[num_queries:]

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The conditional logits."""
        return self.denoise.anchor_logits(z_BLD, sigma_B)

    def prior_logits(self) -> Tensor:
        """The conditional logits of the anchors' shares."""
        return self.denoise.prior_logits()

    def nearness(self) -> Tensor:
        """The unchanged nearness."""
        return self.denoise.nearness()
