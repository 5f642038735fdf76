"""Which parameters RL trains, and at which rate."""

from __future__ import annotations

import pytest
import torch

from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.learner.optimizer import match_rates, parameter_groups
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.policy.loading import load_trainable


def test_a_parameter_trains_at_the_rate_of_the_matching_expression_and_is_frozen_without_a_match() -> None:
    model = load_trainable(resolve_model("package:r4t_ray/folm/base_model"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, {r"^model\.norm": 0.2, r"layers\.3\..*norm": 0.1})
    found = [(group["lr"], [names[id(parameter)] for parameter in group["params"]]) for group in groups]
    layer = "model.layers.3.{}_layernorm.weight"
    assert found == [
        (0.2, ["model.norm.weight"]),
        (0.1, [layer.format(place) for place in ("input", "post_attention")]),
    ]
    model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {name for _, members in found for name in members}


def test_one_rate_trains_every_parameter() -> None:
    model = torch.nn.Linear(2, 2)
    (group,) = parameter_groups(model, SoftGRPOConfig(learning_rate=0.5).rates)
    assert group["lr"] == 0.5
    assert len(group["params"]) == 2
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_expressions_that_match_no_name_or_the_same_name_are_refused() -> None:
    """If the first match won, the order of the mapping would matter, and manifests do not keep that order."""
    with pytest.raises(ConfigError, match=r"'norm', found in no parameter's name"):
        match_rates(torch.nn.Linear(2, 2), {"weight": 0.1, "norm": 0.1})
    for rates in ({"": 0.1, "bias": 0.2}, {"bias": 0.2, "": 0.1}):
        with pytest.raises(ConfigError, match="share bias"):
            match_rates(torch.nn.Linear(2, 2), rates)
