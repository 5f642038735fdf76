"""Log-probabilities of sampled completions under the learner, without the work that padding makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import selective_log_softmax

ROWS = 64
"""Rows of one forward pass; they are of similar length."""


def completion_logps(model: Any, input_ids: Tensor, attention_mask: Tensor, num_completion: int, tau: float) -> Tensor:
    """Log-probability of every completion token, softmax at temperature ``tau``; 0 where the mask is 0.

    Rows are sorted by length and each pass is trimmed to its longest row, which leaves every value as it is. The logits
    of a pass are held at once, so this is for vocabularies that memory has room for.

    Args:
        model: A causal language model, wrapped for training or not.
        input_ids: Prompts padded on the left, then completions padded on the right: (B, P + T).
        attention_mask: 1 for tokens, (B, P + T).
        num_completion: T.
        tau: The sampling temperature.

    Returns:
        ``logp_BT``.
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
        logp = selective_log_softmax(logits.float() / tau, targets) * mask
        parts.append(torch.nn.functional.pad(logp, (0, num_completion - length)))
    return torch.cat(parts)[order_B.argsort()]
