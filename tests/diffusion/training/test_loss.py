from __future__ import annotations

import pytest
import torch

from r4t_ray.diffusion.denoiser import c_out
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig
from r4t_ray.diffusion.training.anchors import anchor_numbers, prior_loss
from r4t_ray.diffusion.training.loss import SetLoss, denoising_loss, loss_weight


def test_weight_by_hand() -> None:
    """sigma = 3, sd = 4: (9 + 16) / 144; sigma = sd = 1: 2."""
    assert loss_weight(torch.tensor([3.0]), 4.0).tolist() == pytest.approx([25 / 144])
    assert loss_weight(torch.tensor([1.0]), 1.0).tolist() == [2.0]


def test_weight_undoes_the_output_scale() -> None:
    sigma_B = torch.tensor([1e-3, 0.088, 2.0, 80.0])
    assert torch.allclose(loss_weight(sigma_B, 0.088) * c_out(sigma_B, 0.088) ** 2, torch.ones(4))


def test_loss_by_hand() -> None:
    """Squared errors (1 + 4 + 0 + 1) / 4 at weight 25/144 and 16/4 at weight (4 + 16) / 64; then the weighted mean."""
    target_BLD = torch.zeros(2, 2, 2)
    denoised_BLD = torch.tensor([[[1.0, -2.0], [0.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]]])
    sigma_B = torch.tensor([3.0, 2.0])
    loss = denoising_loss(denoised_BLD, target_BLD, sigma_B, 4.0, torch.ones(2))
    assert float(loss) == pytest.approx((1.5 * 25 / 144 + 4.0 * 20 / 64) / 2)
    weighted = denoising_loss(denoised_BLD, target_BLD, sigma_B, 4.0, torch.tensor([0.5, 1.5]))
    assert float(weighted) == pytest.approx((0.5 * 1.5 * 25 / 144 + 1.5 * 4.0 * 20 / 64) / 2)


@torch.no_grad()
def test_the_set_loss_is_denoising_plus_the_weighted_prior() -> None:
    torch.manual_seed(0)
    shape = NetworkConfig(
        num_rows=2, dim=2, hidden_size=4, mlp_size=4, num_heads=2, num_layers=1, noise_dim=4, num_anchors=2
    )
    retriever = DiffusionRetriever(shape, NoiseConfig(sigma_max=1.0, sigma_min=1e-4)).eval()
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(torch.eye(2))
    for parameter in retriever.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    target_BLD, eps_BLD = torch.eye(2).expand(5, 2, 2), torch.randn(5, 2, 2)
    sigma_B, z_q_BD, is_dropped_B = torch.rand(5) + 0.1, torch.randn(5, 2), torch.arange(5) == 3
    weight_B = torch.tensor([1.0, 2.0, 0.5, 1.0, 0.5])
    denoised_BLD = retriever(target_BLD + sigma_B[:, None, None] * eps_BLD, sigma_B, z_q_BD, is_dropped_B)
    denoising = float(denoising_loss(denoised_BLD, target_BLD, sigma_B, retriever.noise.sigma_data, weight_B))
    prior_BN = retriever.prior_logits(z_q_BD, is_dropped_B)
    prior = float(prior_loss(prior_BN, anchor_numbers(target_BLD, torch.eye(2)), weight_B))
    parts = target_BLD, eps_BLD, sigma_B, z_q_BD, is_dropped_B, weight_B
    assert float(SetLoss(retriever, 0.0)(*parts)) == pytest.approx(denoising)
    assert float(SetLoss(retriever, 2.0)(*parts)) == pytest.approx(denoising + 2 * prior)
    assert prior > 0.1
