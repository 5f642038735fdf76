"""Steering at query time, without retraining: more or less diverse, towards one text, away from another.

Not in arXiv 2603.06397. Every estimate D of the clean rows is moved before the solver continues from it. The network
sees the moved rows at its next evaluation and fits the other rows to them. For answers that consist of anchors, a bias
is added to the logits of the anchors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from r4t_ray.diffusion.samplers import Denoise

PULL = 8.0
"""Nats by which a cosine of 1 with the liked direction lifts an anchor's logit, at strength 1."""
JITTER = 0.25
"""Standard deviation, in nats, of the perturbation of an anchor's logit for each unit of temperature above 1. On the
cookbook's validation themes a fifth of the items then differ between seeds at temperature 2, at equal precision."""


@dataclass(frozen=True, kw_only=True)
class Steering:
    """How the set of each of B queries is steered; a vector of zeros means that there is no text.

    Attributes:
        temperature_B: Scale of all noise, both the starting noise and the noise that a stochastic solver adds. 1 leaves
            the solver as it is. At 0 every seed gives the same set. For a solver that does not start from noise, the
            part above 1 scales a perturbation of the anchors' logits. For a ranked solver it is a factor of the weight
            of diversity: at 0 it takes the most likely anchors.
        strength_B: Strength of the pull towards ``like_BD`` and of the push away from ``avoid_BJD``.
        like_BD: Mean of the unit vectors of the liked texts.
        avoid_BJD: Unit vectors of the avoided texts.
    """

    temperature_B: Tensor
    strength_B: Tensor
    like_BD: Tensor
    avoid_BJD: Tensor

    def of(self, queries: slice) -> Steering:
        """The steering of some of the queries."""
        return Steering(
            temperature_B=self.temperature_B[queries],
            strength_B=self.strength_B[queries],
            like_BD=self.like_BD[queries],
            avoid_BJD=self.avoid_BJD[queries],
        )

    def tempered(self, noise_BLD: Tensor) -> Tensor:
        """The noise at the queries' temperatures."""
        return self.temperature_B[:, None, None] * noise_BLD

    def rows(self, denoised_BLD: Tensor) -> Tensor:
        """D + s (like - sum_j max(0, D . a_j) a_j), (B, L, D): a row loses its part along each avoided vector a_j."""
        shown_BLJ = torch.einsum("bld,bjd->blj", denoised_BLD, self.avoid_BJD).clamp_min(0)
        move_BLD = self.like_BD[:, None] - torch.einsum("blj,bjd->bld", shown_BLJ, self.avoid_BJD)
        return denoised_BLD + self.strength_B[:, None, None] * move_BLD

    def anchor_bias(self, anchors_ND: Tensor) -> Tensor:
        """The term PULL s (like . c - sum_j max(0, a_j . c)), which is added to the logit of each anchor c; (B, N)."""
        shown_BN = (self.avoid_BJD @ anchors_ND.T).clamp_min(0).sum(dim=1)
        return PULL * self.strength_B[:, None] * (self.like_BD @ anchors_ND.T - shown_BN)

    def perturbation(self, noise_BLD: Tensor, anchors_ND: Tensor) -> Tensor:
        """JITTER (t - 1) n . c for each unit anchor c, (B, N), n the first noise row; 0 where t is 1 or less."""
        return JITTER * (self.temperature_B - 1).clamp_min(0)[:, None] * (noise_BLD[:, 0] @ anchors_ND.T)


class Steered:
    """A transform of the estimate and of the anchors' logits: ``Steering.rows`` and ``Steering.anchor_bias``."""

    def __init__(self, denoise: Denoise, steering: Steering) -> None:
        self.denoise, self.steering, self.anchors_ND = denoise, steering, denoise.anchors_ND

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The moved estimate."""
        return self.steering.rows(self.denoise(z_BLD, sigma_B))

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The logits with the bias of each anchor."""
        return self.denoise.anchor_logits(z_BLD, sigma_B) + self.steering.anchor_bias(self.anchors_ND)[:, None]

    def prior_logits(self) -> Tensor:
        """The logits of the anchors' shares with the bias of each anchor."""
        return self.denoise.prior_logits() + self.steering.anchor_bias(self.anchors_ND)

    def nearness(self) -> Tensor:
        """The nearness with the bias of each anchor."""
        return self.denoise.nearness() + self.steering.anchor_bias(self.anchors_ND)


class Perturbed:
    """A transform of the anchors' logits for a solver that does not start from noise: ``Steering.perturbation``.

    Args:
        denoise: The denoiser that is transformed.
        steering: Only its temperatures are used.
        noise_BLD: Standard normal.
    """

    def __init__(self, denoise: Denoise, steering: Steering, noise_BLD: Tensor) -> None:
        self.denoise, self.steering, self.noise_BLD = denoise, steering, noise_BLD
        self.anchors_ND = denoise.anchors_ND

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The unchanged estimate."""
        return self.denoise(z_BLD, sigma_B)

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The unchanged logits."""
        return self.denoise.anchor_logits(z_BLD, sigma_B)

    def prior_logits(self) -> Tensor:
        """The perturbed logits of the anchors' shares."""
        return self.denoise.prior_logits() + self.steering.perturbation(self.noise_BLD, self.anchors_ND)

    def nearness(self) -> Tensor:
        """The perturbed nearness."""
        return self.denoise.nearness() + self.steering.perturbation(self.noise_BLD, self.anchors_ND)
