from __future__ import annotations

import pytest
import torch
from torch import nn

from r4t_ray.diffusion.training.ema import Ema, ema_decay


def test_decay_by_hand() -> None:
    assert [ema_decay(step, 0.9999) for step in (0, 1, 8, 90)] == pytest.approx([0.1, 2 / 11, 0.5, 0.91])
    assert ema_decay(10**6, 0.9999) == 0.9999
    assert ema_decay(90, 0.5) == 0.5


def test_average_by_hand() -> None:
    """From 1: weight 2 at decay 1/10 gives 1.9; weight 4 at decay 2/11 gives 1.9 * 2/11 + 4 * 9/11."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = Ema(model, 0.9999)
    for step, weight in enumerate((2.0, 4.0)):
        nn.init.constant_(model.weight, weight)
        ema.update(model, step)
    assert ema.model.weight.item() == pytest.approx(1.9 * 2 / 11 + 4 * 9 / 11)
    assert model.weight.item() == 4.0


def test_average_is_a_frozen_copy_in_eval_mode() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    ema = Ema(model, 0.9)
    model(torch.randn(4, 2))
    ema.update(model, 0)
    assert not ema.model.training
    assert model.training
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
