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


def train_only(model: Any, pattern: re.Pattern[str]) -> None:
    """Freeze the parameters in whose name ``pattern`` finds nothing.

    Raises:
        ConfigError: That would be all of them.
    """
    names = [name for name, _ in model.named_parameters()]
    if not any(map(pattern.search, names)):
        raise ConfigError(
            "folm.grpo.<task>.trainable",
            f"{pattern.pattern!r}, which no parameter's name matches",
            f"a regular expression found in some of {names[:3]} ... {names[-1]}",
            "leave it out to train them all",
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(pattern.search(name) is not None)
