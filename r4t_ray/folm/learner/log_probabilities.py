"""Log-probabilities of sampled completions under the learner, computed without most of the padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 64
"""Rows of one forward pass. They have similar lengths, because rows are sorted by length."""


def completion_logps(model: Any, input_ids: Tensor, attention_mask: Tensor, num_completion: int, tau: float) -> Tensor:
    """Log-probability of every completion token, with softmax at temperature ``tau``; 0 where the mask is 0.

    Rows are sorted by length, and each pass is trimmed to its longest row. This changes no value. Memory must hold all
    logits of one pass.

    Args:
        model: A causal language model, wrapped for training or not.
        input_ids: Prompts padded on the left, then completions padded on the right: (B, P + T).
        attention_mask: 1 for tokens, (B, P + T).
        num_completion: T.
        tau: The sampling temperature.

    Returns:
        ``logp_BT``, float32, in the order of the input rows.
    """
    num_prompt = input_ids.shape[1] - num_completion
    prompt_lengths_B = attention_mask[:, :num_prompt].sum(1)
    lengths_B = attention_mask[:, num_prompt:].sum(1)
    order_B = (prompt_lengths_B + lengths_B).argsort()
    parts = []
    for rows in order_B.split(ROWS):
        length = max(1, int(lengths_B[rows].max()))
        span = slice(num_prompt - int(prompt_lengths_B[rows].max()), num_prompt + length)
        targets, mask = (joint[rows, num_prompt : span.stop] for joint in (input_ids, attention_mask))
        logits = model(
            input_ids=input_ids[rows, span],
            attention_mask=attention_mask[rows, span],
            logits_to_keep=length + 1,
            use_cache=False,
        ).logits[:, :-1]
        logp = TargetLogps.apply(logits, targets, tau) * mask
        parts.append(torch.nn.functional.pad(logp, (0, num_completion - length)))
    return torch.cat(parts)[order_B.argsort()]


class TargetLogps(torch.autograd.Function):
    """Log-probability of one target token at each position, at a temperature: ``(B, T, V) -> (B, T)``.

    Computed in float32 for logits of any precision, and in place where possible. On a CPU one pass over the logits
    costs as much as a layer of a small model, and autograd would make three times as many passes.
    """

    @staticmethod
    def forward(ctx: Any, logits_BTV: Tensor, targets_BT: Tensor, tau: float) -> Tensor:
        """See the class. ``targets_BT`` are vocabulary ids."""
        scaled_BTV = _scaled(logits_BTV, tau)
        lse_BT1 = scaled_BTV.logsumexp(-1, keepdim=True)
        ctx.save_for_backward(logits_BTV, targets_BT, lse_BT1)
        ctx.tau = tau
        return (scaled_BTV.gather(-1, targets_BT[..., None]) - lse_BT1)[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """``(1[v = target] - softmax_v) / tau`` times the gradient."""
        logits_BTV, targets_BT, lse_BT1 = ctx.saved_tensors
        gradient_BT1 = gradients[0][..., None] / ctx.tau
        out_BTV = _scaled(logits_BTV, ctx.tau).sub_(lse_BT1).exp_().mul_(-gradient_BT1)
        out_BTV.scatter_add_(-1, targets_BT[..., None], gradient_BT1)
        return out_BTV.to(logits_BTV.dtype), None, None


def _scaled(logits_BTV: Tensor, tau: float) -> Tensor:
    """A float32 copy of the logits, divided by ``tau``."""
    return logits_BTV.to(torch.float32, copy=True).div_(tau)
