"""Steering at query time, without retraining: more or less diverse, towards what is liked, away from what is not.

Not in arXiv 2603.06397. Every estimate D of the clean rows is moved before the solver goes on from it, so the network
sees the moved rows at its next evaluation and fits the others to them. Answers made of anchors are pulled by the logits
of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PULL = 8.0
"""Nats by which a cosine of 1 with something liked lifts an anchor's logit, at strength 1."""


@dataclass(frozen=True)
class Steering:
    """What each of B queries wants of its set beside itself; vectors of zeros stand for nothing.

    Attributes:
        temperature_B: 1 is the solver's own. It scales all noise, what a solver starts from and what the SDE adds; at
            0 every seed gives one and the same set. ``likeliest``, without any, perturbs its logits by what is above 1.
        strength_B: Of the pull towards ``like_BD`` and the push from ``avoid_BJD``.
        like_BD: Mean of the unit vectors of what is liked.
        avoid_BJD: Unit vectors of what is to be avoided.
    """

    temperature_B: Tensor
    strength_B: Tensor
    like_BD: Tensor
    avoid_BJD: Tensor

    def of(self, queries: slice) -> Steering:
        """The wishes of some of the queries."""
        return Steering(
            self.temperature_B[queries], self.strength_B[queries], self.like_BD[queries], self.avoid_BJD[queries]
        )

    def tempered(self, noise_BLD: Tensor) -> Tensor:
        """The noise at the queries' temperatures."""
        return self.temperature_B[:, None, None] * noise_BLD

    def rows(self, denoised_BLD: Tensor) -> Tensor:
        """D + s (like - sum_j max(0, D . a_j) a_j): rows lose the part of them that shows what is avoided."""
        shown_BLJ = torch.einsum("bld,bjd->blj", denoised_BLD, self.avoid_BJD).clamp_min(0)
        move_BLD = self.like_BD[:, None] - torch.einsum("blj,bjd->bld", shown_BLJ, self.avoid_BJD)
        return denoised_BLD + self.strength_B[:, None, None] * move_BLD

    def anchor_bias(self, anchors_ND: Tensor) -> Tensor:
        """PULL s (like . c - sum_j max(0, a_j . c)) for each unit anchor c, (B, N): what its logit gains."""
        shown_BN = (self.avoid_BJD @ anchors_ND.T).clamp_min(0).sum(dim=1)
        return PULL * self.strength_B[:, None] * (self.like_BD @ anchors_ND.T - shown_BN)

    def perturbation(self, noise_BLD: Tensor, anchors_ND: Tensor) -> Tensor:
        """(t - 1) n . c for each unit anchor c, (B, N), n the first row of the noise; 0 where t is 1 or less."""
        return (self.temperature_B - 1).clamp_min(0)[:, None] * (noise_BLD[:, 0] @ anchors_ND.T)
