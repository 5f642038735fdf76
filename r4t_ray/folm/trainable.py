"""Language models loaded for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def load_trainable(folder: str | Path) -> Any:
    """A causal language model with float32 weights.

    On a CPU its attention is the eager one: the backward pass of torch's fused attention takes 40% of a step there.
    """
    from transformers import AutoModelForCausalLM

    attention = "sdpa" if torch.cuda.is_available() else "eager"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
