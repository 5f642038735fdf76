"""Exponential moving average of the weights, with a warm-up of its decay."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def ema_decay(step: int, max_decay: float) -> float:
    """Decay at the update numbered ``step`` from 0: min(max_decay, (1 + step) / (10 + step)).

    >>> ema_decay(0, 0.9999), ema_decay(89_991, 0.9999)
    (0.1, 0.9999)
    """
    return min(max_decay, (1 + step) / (10 + step))


class Ema(Generic[M]):
    """A copy of a module whose weights follow the module's: average = decay * average + (1 - decay) * weight.

    ``model`` is the copy, in eval mode and without gradients. Buffers are copied as they are.
    """

    def __init__(self, model: M, max_decay: float) -> None:
        self.model: M = copy.deepcopy(model).eval().requires_grad_(False)
        self.max_decay = max_decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards ``model``, a module of the same shape."""
        weight = 1 - ema_decay(step, self.max_decay)
        for average, current in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(current, weight)
        for kept, new in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(new)
