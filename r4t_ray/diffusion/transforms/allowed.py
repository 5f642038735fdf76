"""Anchors that an answer may be made of, such as the entries that pass a filter.

Not in arXiv 2603.06397.
"""

from __future__ import annotations

from torch import Tensor

from r4t_ray.diffusion.samplers import Denoise

FAR = 1e4
"""Nats by which an anchor that is not allowed loses. No logit and no nearness of an anchor is as large."""


class Allowed:
    """A transform of what ranks the anchors: those that are not allowed come after all others, in their own order.

    Args:
        denoise: The denoiser that is transformed.
        allowed_BN: bool; the anchors that each query may have.
    """

    def __init__(self, denoise: Denoise, allowed_BN: Tensor) -> None:
        self.denoise, self.anchors_ND = denoise, denoise.anchors_ND
        self.penalty_BN = FAR * (~allowed_BN).float()

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The unchanged estimate."""
        return self.denoise(z_BLD, sigma_B)

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The unchanged logits."""
        return self.denoise.anchor_logits(z_BLD, sigma_B)

    def prior_logits(self) -> Tensor:
        """The logits of the anchors' shares, lower by FAR where an anchor is not allowed."""
        return self.denoise.prior_logits() - self.penalty_BN

    def nearness(self) -> Tensor:
        """The nearness, lower by FAR where an anchor is not allowed."""
        return self.denoise.nearness() - self.penalty_BN
