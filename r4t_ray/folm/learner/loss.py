"""The loss of Soft-GRPO: eq. 8 of arXiv 2603.06397."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class LossFn(Protocol):
    """A loss over sampled tokens; see ``soft_grpo_loss`` for the arguments."""

    def __call__(
        self,
        logp_BT: Tensor,
        old_logp_BT: Tensor,
        advantage_B: Tensor,
        mask_BT: Tensor,
        *,
        clip_eps: float,
        beta_kl: float,
        beta_entropy: float,
    ) -> Tensor:
        """A scalar."""
        ...


def soft_grpo_loss(
    logp_BT: Tensor,
    old_logp_BT: Tensor,
    advantage_B: Tensor,
    mask_BT: Tensor,
    *,
    clip_eps: float,
    beta_kl: float,
    beta_entropy: float,
) -> Tensor:
    """Eq. 8, averaged over the tokens of each sequence and then over the sequences.

    With rho = pi / pi_old, the loss of a token is ``-min(rho A, clip(rho, 1 - clip_eps, 1 + clip_eps) A)
    + beta_kl rho (log pi - log pi_old) - beta_entropy log pi``.

    Args:
        logp_BT: log pi of the sampled tokens under the learner.
        old_logp_BT: log pi_old, under the policy that sampled them.
        advantage_B: Advantage of each sequence (eq. 6).
        mask_BT: 1 for sampled tokens, 0 for padding. A row of zeros has loss 0.
        clip_eps: Half-width of the trust region around ratio 1.
        beta_kl: b1 of eq. 8.
        beta_entropy: b2 of eq. 8.

    Returns:
        A scalar.
    """
    log_rho_BT = (logp_BT - old_logp_BT) * mask_BT
    rho_BT = log_rho_BT.exp()
    advantage_B1 = advantage_B[:, None]
    clipped_BT = rho_BT.clamp(1 - clip_eps, 1 + clip_eps)
    policy_BT = -torch.minimum(rho_BT * advantage_B1, clipped_BT * advantage_B1)
    loss_BT = policy_BT + beta_kl * rho_BT * log_rho_BT - beta_entropy * logp_BT
    return ((loss_BT * mask_BT).sum(-1) / mask_BT.sum(-1).clamp(min=1)).mean()
