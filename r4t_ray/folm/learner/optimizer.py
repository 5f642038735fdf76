"""Which parameters RL trains, and at which learning rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r4t_ray.errors import ConfigError

BETAS = (0.9, 0.95)
"""Betas of AdamW, from Table 3 of arXiv 2603.06397."""


def match_rates(model: Any, rates: Mapping[str, float]) -> dict[str, list[str]]:
    """The names of the trainable parameters that each regular expression matches (``re.search``).

    Raises:
        ConfigError: An expression matches no name, or two expressions match the same name.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    members = {expression: [name for name in names if re.search(expression, name)] for expression in rates}
    matched = [name for found in members.values() for name in found]
    twice = next((name for name in matched if matched.count(name) > 1), None)
    nowhere = next((expression for expression, found in members.items() if not found), None)
    if twice or nowhere is not None:
        raise ConfigError(
            "folm.grpo.<task>.learning_rate",
            f"expressions that share {twice}" if twice else f"{nowhere!r}, found in no parameter's name",
            f"expressions that match different parameters, among {names[:3]} ... {names[-1]}",
            "correct the expressions, or write one number to train all parameters at one rate",
        )
    return members


def parameter_groups(model: Any, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer, one for each expression with its rate. Other parameters are frozen."""
    members, parameters = match_rates(model, rates), dict(model.named_parameters())
    model.requires_grad_(False)
    for name in (name for found in members.values() for name in found):
        parameters[name].requires_grad_(True)
    return [{"params": [parameters[name] for name in members[key]], "lr": rate} for key, rate in rates.items()]
