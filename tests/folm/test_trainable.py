"""Which parameters RL may move."""

from __future__ import annotations

import re

import pytest
import torch
from pydantic import ValidationError

from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.settings import SoftGRPOConfig
from r4t_ray.folm.trainable import load_trainable, train_only


def test_only_the_named_parameters_get_a_gradient() -> None:
    model = load_trainable(resolve_model("package:r4t_ray/folm/base_model"))
    train_only(model, re.compile("^model.norm"))
    model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    moved = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert moved == ["model.norm.weight"]
    train_only(model, re.compile(""))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_pattern_that_names_no_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="no parameter's name matches"):
        train_only(torch.nn.Linear(2, 2), re.compile("norm"))


def test_settings_refuse_what_is_no_regular_expression_and_write_one_as_a_text() -> None:
    with pytest.raises(ValidationError, match="valid regular expression"):
        SoftGRPOConfig(trainable="(")
    config = SoftGRPOConfig(trainable=r"^model\.norm")
    assert SoftGRPOConfig.model_validate_json(config.model_dump_json()) == config
    assert SoftGRPOConfig.model_validate(config.model_dump()) == config
