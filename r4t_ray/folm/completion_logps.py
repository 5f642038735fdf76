"""Log-probabilities of sampled completions under the learner, without the work that padding makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import selective_log_softmax

ROWS = 32
"""Rows of one forward pass; they are of similar length."""


def completion_logps(
    model: Any, prompt_ids: Tensor, prompt_mask: Tensor, completion_ids: Tensor, completion_mask: Tensor, tau: float
) -> Tensor:
    """Log-probability of every completion token, softmax at temperature ``tau``; 0 where the mask is 0.

    Rows are sorted by length and each pass is trimmed to its longest row, which leaves every value as it is. The logits
    of a pass are held at once, so this is for vocabularies that memory has room for.

    Args:
        model: A causal language model, wrapped for training or not.
        prompt_ids: (B, P), padded on the left.
        prompt_mask: 1 for tokens, (B, P).
        completion_ids: (B, T), padded on the right.
        completion_mask: 1 for tokens, (B, T).
        tau: The sampling temperature.

    Returns:
        ``logp_BT``.
    """
    order_B = (prompt_mask.sum(1) + completion_mask.sum(1)).argsort()
    parts = []
    for rows in order_B.split(ROWS):
        start = prompt_ids.shape[1] - int(prompt_mask[rows].sum(1).max())
        length = max(1, int(completion_mask[rows].sum(1).max()))
        targets = completion_ids[rows, :length]
        logits = model(
            input_ids=torch.cat([prompt_ids[rows, start:], targets], dim=1),
            attention_mask=torch.cat([prompt_mask[rows, start:], completion_mask[rows, :length]], dim=1),
            logits_to_keep=length + 1,
            use_cache=False,
        ).logits[:, :-1]
        logp = selective_log_softmax(logits.float() / tau, targets) * completion_mask[rows, :length]
        parts.append(torch.nn.functional.pad(logp, (0, completion_ids.shape[1] - length)))
    return torch.cat(parts)[order_B.argsort()]
