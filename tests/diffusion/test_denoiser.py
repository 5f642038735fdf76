from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler

from r4t_ray.diffusion.denoiser import ANCHOR_WIDTH, AnchorMixture, c_in, c_noise, c_out, c_skip
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig

SIGMA_DATA = 0.088
CONFIG = NetworkConfig(
    num_rows=2, dim=2, hidden_size=4, mlp_size=4, num_heads=2, num_layers=1, noise_dim=4, num_anchors=2
)
SIGMA_S = torch.tensor([1e-4, 0.01, 0.088, 1.0, 80.0], dtype=torch.float64)


@pytest.mark.parametrize("scheduler", [EDMEulerScheduler, EDMDPMSolverMultistepScheduler])
def test_agrees_with_diffusers(scheduler: type) -> None:
    reference = scheduler(sigma_min=1e-4, sigma_max=80.0, sigma_data=SIGMA_DATA)
    sample, output = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours_in = c_in(SIGMA_S, SIGMA_DATA) * sample
    ours_out = c_skip(SIGMA_S, SIGMA_DATA) * sample + c_out(SIGMA_S, SIGMA_DATA) * output
    assert torch.allclose(ours_in, reference.precondition_inputs(sample, SIGMA_S), rtol=1e-12)
    assert torch.allclose(ours_out, reference.precondition_outputs(sample, output, SIGMA_S), rtol=1e-12)
    assert torch.allclose(c_noise(SIGMA_S), reference.precondition_noise(SIGMA_S), rtol=1e-12)


def test_network_input_and_target_have_unit_variance() -> None:
    """If Var(z) = sd^2, c_in (z + sigma eps) and (z - c_skip (z + sigma eps)) / c_out have variance 1."""
    data, noise = SIGMA_DATA**2, SIGMA_S**2
    assert torch.allclose(c_in(SIGMA_S, SIGMA_DATA) ** 2 * (data + noise), torch.ones(5, dtype=torch.float64))
    skip = c_skip(SIGMA_S, SIGMA_DATA)
    target_variance = ((1 - skip) ** 2 * data + skip**2 * noise) / c_out(SIGMA_S, SIGMA_DATA) ** 2
    assert torch.allclose(target_variance, torch.ones(5, dtype=torch.float64))


def mixture() -> AnchorMixture:
    torch.manual_seed(0)
    made = AnchorMixture(CONFIG)
    made.anchors_ND.copy_(torch.eye(2))
    return made


KEPT, DROPPED = torch.tensor([False]), torch.tensor([True])


@torch.no_grad()
def test_anchor_weights_are_the_posterior_by_hand() -> None:
    z_BLD = torch.tensor([[[0.6, 0.2]]])
    sigma = 0.5
    query_BN = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float32)
    mixed = mixture()(torch.zeros(1, 1, 2), z_BLD, torch.tensor([sigma]), torch.zeros(1, 1, 4), query_BN)
    # log w: 0.6 / s^2 + ln 3 against 0.2 / s^2, s^2 = sigma^2 + ANCHOR_WIDTH^2; the gate starts at sigmoid(2).
    odds = 3.0 * np.exp(0.4 / (sigma**2 + ANCHOR_WIDTH**2))
    weights, gate = np.array([odds, 1.0]) / (odds + 1), 1 / (1 + np.exp(-2.0))
    assert np.abs(mixed[0, 0].numpy() - gate * weights).max() < 1e-6


@torch.no_grad()
def test_logits_of_a_query_by_hand() -> None:
    """The linear map of sqrt(2) (1, 0), plus exp(s) = 10 times the cosines 0.6 and 0.8, which a null query lacks."""
    made = mixture()
    made.query_prior.weight.copy_(torch.tensor([[3.0, 1.0], [0.5, 2.0]]))
    made.query_prior.bias.copy_(torch.tensor([0.25, -1.0]))
    linear_N = np.sqrt(2) * np.array([3.0, 0.5]) + [0.25, -1.0]
    condition_BD, z_q_BD = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    found_N = made.query_logits(condition_BD, z_q_BD, KEPT)[0].numpy()
    assert np.abs(found_N - (linear_N + np.array([6.0, 8.0]))).max() < 1e-5
    assert np.abs(made.query_logits(condition_BD, z_q_BD, DROPPED)[0].numpy() - linear_N).max() < 1e-5


@pytest.mark.parametrize(("log_nearness", "expected"), [(np.log(7.0), 7.0), (np.log(1000.0), 100.0)])
def test_nearness_is_learned_and_bounded(log_nearness: float, expected: float) -> None:
    """At the bound the gradient is not 0, so s can fall again."""
    made = mixture()
    with torch.no_grad():
        made.log_nearness.fill_(log_nearness)
    made.keep_in_bounds()
    logits_BN = made.query_logits(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), KEPT)
    assert logits_BN[0].tolist() == [pytest.approx(expected, rel=1e-5), 0.0]
    logits_BN[0, 0].backward()
    assert float(made.log_nearness.grad) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_logits_without_the_hubness_of_an_anchor_by_hand() -> None:
    """Cosines 0.6 and 0.8, hubness 0.4 and 0.9 with share 0.5, exp(s) = 10, and the biases."""
    torch.manual_seed(0)
    retriever = DiffusionRetriever(CONFIG.model_copy(update={"prior": "nearness"})).eval()
    made = retriever.mixture
    assert made is not None
    made.anchors_ND.copy_(torch.eye(2))
    made.hubness_N.copy_(torch.tensor([0.4, 0.9]))
    made.bias_N.copy_(torch.tensor([0.25, -1.0]))
    made.row_head.weight.normal_()  # the row has no say in the shares
    found_BN = [retriever.prior_logits(torch.tensor([[0.6, 0.8]]), is_dropped_B) for is_dropped_B in (KEPT, DROPPED)]
    assert found_BN[0][0].tolist() == pytest.approx([10 * (0.6 - 0.2) + 0.25, 10 * (0.8 - 0.45) - 1.0])
    assert found_BN[1][0].tolist() == [0.25, -1.0]


@torch.no_grad()
def test_every_logit_of_a_denoiser_holds_the_nearness_unless_the_query_is_dropped() -> None:
    """Two retrievers that differ in s: their logits and estimates differ for a query, and are equal without one."""
    torch.manual_seed(0)
    retriever = DiffusionRetriever(CONFIG, NoiseConfig(sigma_min=1e-4, sigma_max=1.0)).eval()
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(torch.eye(2))
    z_BLD, sigma_B, z_q_BD = torch.randn(1, 2, 2), torch.tensor([0.7]), torch.tensor([[0.6, 0.8]])

    def outputs(exp_s: float, is_dropped_B: torch.Tensor) -> list[torch.Tensor]:
        retriever.mixture.log_nearness.fill_(np.log(exp_s))
        rest = z_q_BD, is_dropped_B
        return [
            retriever.anchor_logits(z_BLD, sigma_B, *rest),
            retriever.prior_logits(*rest),
            retriever(z_BLD, sigma_B, *rest),
        ]

    differences = [high - low for high, low in zip(outputs(20.0, KEPT), outputs(10.0, KEPT), strict=True)]
    for logits in differences[:2]:
        assert float((logits - torch.tensor([6.0, 8.0])).abs().max()) < 1e-4
    assert float(differences[2].abs().max()) > 1e-2
    for high, low in zip(outputs(20.0, DROPPED), outputs(10.0, DROPPED), strict=True):
        assert torch.equal(high, low)


@torch.no_grad()
def test_low_noise_moves_a_row_to_its_anchor_unless_the_gate_is_closed() -> None:
    made = mixture()
    z_BLD = torch.tensor([[[0.9, 0.1], [0.1, 0.9]]])
    parts = z_BLD, torch.tensor([0.05]), torch.zeros(1, 2, 4), torch.zeros(1, 2)
    made.row_head.bias.copy_(torch.tensor([0.0, 0.0, 20.0]))
    assert float((made(torch.zeros_like(z_BLD), *parts) - torch.eye(2)).abs().max()) < 1e-4
    made.row_head.bias.copy_(torch.tensor([0.0, 0.0, -20.0]))
    denoised_BLD = torch.randn(1, 2, 2)
    assert float((made(denoised_BLD, *parts) - denoised_BLD).abs().max()) < 1e-6


@torch.no_grad()
def test_a_retriever_keeps_its_anchors_on_disk_and_stays_equivariant(tmp_path: Path) -> None:
    torch.manual_seed(0)
    retriever = DiffusionRetriever(CONFIG, NoiseConfig(sigma_min=1e-4, sigma_max=80.0)).eval()
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(torch.eye(2))
    for parameter in retriever.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    retriever.save_pretrained(tmp_path)
    loaded = DiffusionRetriever.from_pretrained(tmp_path)
    z_BLD, rest = torch.randn(3, 2, 2), (torch.full((3,), 0.3), torch.randn(3, 2), torch.zeros(3, dtype=torch.bool))
    out_BLD = retriever(z_BLD, *rest)
    assert torch.equal(loaded(z_BLD, *rest), out_BLD)
    assert float((retriever(z_BLD.flip(1), *rest) - out_BLD.flip(1)).abs().max()) < 1e-5
