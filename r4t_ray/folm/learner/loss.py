"""The loss of Soft-GRPO: eq. 8 of arXiv 2603.06397."""

from __future__ import annotations

import torch


def soft_grpo_loss(
    logp_BT: torch.Tensor,
    old_logp_BT: torch.Tensor,
    advantage_B: torch.Tensor,
    mask_BT: torch.Tensor,
    clip: float,
    beta_kl: float,
    beta_entropy: float,
) -> torch.Tensor:
    """Mean over sequences of the mean over their tokens of eq. 8.

    With rho = pi / pi_old, a token's loss is
    ``-min(rho A, clip(rho, 1 - clip, 1 + clip) A) + beta_kl rho (log pi - log pi_old) + beta_entropy (-log pi)``.

    Args:
        logp_BT: log pi of the sampled tokens under the learner.
        old_logp_BT: log pi_old, under the policy that sampled them.
        advantage_B: Group-standardised reward of each sequence (eq. 6).
        mask_BT: 1 for sampled tokens, 0 for padding; a row of zeros counts as loss 0.
        clip: Half-width of the trust region around ratio 1.
        beta_kl: b1 of eq. 8.
        beta_entropy: b2 of eq. 8.
    """
    log_rho_BT = (logp_BT - old_logp_BT) * mask_BT
    rho_BT = log_rho_BT.exp()
    advantage_B1 = advantage_B[:, None]
    policy_BT = -torch.minimum(rho_BT * advantage_B1, rho_BT.clamp(1 - clip, 1 + clip) * advantage_B1)
    loss_BT = policy_BT + beta_kl * rho_BT * log_rho_BT - beta_entropy * logp_BT
    return ((loss_BT * mask_BT).sum(-1) / mask_BT.sum(-1).clamp(min=1)).mean()
