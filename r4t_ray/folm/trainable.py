"""Language models loaded for training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from r4t_ray.errors import ConfigError


def load_trainable(folder: str | Path) -> Any:
    """A causal language model with float32 weights.

    On a CPU its attention is the eager one: the backward pass of torch's fused attention takes 40% of a step there.
    """
    from transformers import AutoModelForCausalLM

    attention = "sdpa" if torch.cuda.is_available() else "eager"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)


def train_only(model: Any, pattern: str) -> None:
    """Freeze the parameters in whose name the regular expression ``pattern`` finds nothing.

    Raises:
        ConfigError: That would be all of them.
    """
    names = [name for name, _ in model.named_parameters()]
    if not any(re.search(pattern, name) for name in names):
        raise ConfigError(
            "folm.grpo.<task>.trainable",
            f"{pattern!r}, which no parameter's name matches",
            f"a regular expression found in some of {names[:3]} ... {names[-1]}",
            "leave it out to train them all",
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(re.search(pattern, name) is not None)
