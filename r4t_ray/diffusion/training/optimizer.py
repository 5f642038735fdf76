"""One update of the parameters, at the learning rate of arXiv 2603.06397, Table 3."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from r4t_ray.diffusion.settings import OptimizerConfig


def learning_rate(step: int, config: OptimizerConfig) -> float:
    """Learning rate of the update numbered ``step`` from 0: linear warm-up to the peak, then cosine decay to zero.

    The warm-up's last update, step = warmup_steps - 1, is the first at the peak. A run that is shorter than its warm-up
    does not reach the peak.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.num_steps - config.warmup_steps)
    return config.learning_rate * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def optimizer_step(optimizer: torch.optim.Optimizer, loss: Tensor, step: int, settings: OptimizerConfig) -> None:
    """Update the parameters with the clipped gradient of the loss, at the learning rate of ``step``."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, settings)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if settings.max_grad_norm is not None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
    optimizer.step()
