"""Language models loaded for training."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def parameter_groups(model: Any, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """An optimizer's groups, one a regular expression, each with its learning rate.

    A parameter belongs to the first expression that is found in its name. Those that belong to none are frozen.

    Raises:
        ConfigError: Nothing belongs to an expression.
    """
    members: dict[str, list[Any]] = {expression: [] for expression in rates}
    names = []
    for name, parameter in model.named_parameters():
        names.append(name)
        owner = next((expression for expression in rates if re.search(expression, name)), None)
        parameter.requires_grad_(owner is not None)
        if owner is not None:
            members[owner].append(parameter)
    for expression, parameters in members.items():
        if not parameters:
            raise ConfigError(
                "folm.grpo.<task>.learning_rate",
                f"{expression!r}, which is the first to match no parameter's name",
                f"a regular expression found in some of {names[:3]} ... {names[-1]}",
                "correct the expression, or put it before a wider one",
            )
    return [{"params": members[expression], "lr": rate} for expression, rate in rates.items()]
