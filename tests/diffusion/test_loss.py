from __future__ import annotations

import pytest
import torch

from r4t_ray.diffusion.loss import denoising_loss, loss_weight
from r4t_ray.diffusion.preconditioning import c_out


def test_weight_by_hand() -> None:
    """sigma = 3, sd = 4: (9 + 16) / 144; sigma = sd = 1: 2."""
    assert loss_weight(torch.tensor([3.0]), 4.0).tolist() == pytest.approx([25 / 144])
    assert loss_weight(torch.tensor([1.0]), 1.0).tolist() == [2.0]


def test_weight_undoes_the_output_scale() -> None:
    sigma_B = torch.tensor([1e-3, 0.088, 2.0, 80.0])
    assert torch.allclose(loss_weight(sigma_B, 0.088) * c_out(sigma_B, 0.088) ** 2, torch.ones(4))


def test_loss_by_hand() -> None:
    """Squared errors (1 + 4 + 0 + 1) / 4 at weight 25/144 and 16/4 at weight (4 + 16) / 64; then the mean."""
    target_BLD = torch.zeros(2, 2, 2)
    denoised_BLD = torch.tensor([[[1.0, -2.0], [0.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]]])
    loss = denoising_loss(denoised_BLD, target_BLD, torch.tensor([3.0, 2.0]), 4.0)
    assert float(loss) == pytest.approx((1.5 * 25 / 144 + 4.0 * 20 / 64) / 2)
