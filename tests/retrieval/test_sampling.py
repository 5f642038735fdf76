"""A request's directions depend on its own query and seed, not on its neighbours in the batch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.diffusion.samplers import SAMPLERS
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.diffusion.steering import Steering
from r4t_ray.retrieval.sampling import sample_each
from r4t_ray.retrieval.settings import RetrievalSettings

SEEDS = [5, 2**62, 5, 0]


@pytest.fixture(scope="module")
def retriever() -> DiffusionRetriever:
    torch.manual_seed(0)
    network = NetworkConfig(num_rows=4, dim=8, hidden=16, mlp=16, num_heads=2, num_layers=1)
    noise = NoiseConfig(sigma_min=0.05, sigma_max=1.0, sigma_data=8**-0.5)
    model = DiffusionRetriever(network, noise, SamplerConfig(solver="heun", num_steps=4))
    with torch.no_grad():  # Zero-initialised output layers would hide the query.
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.eval()


@pytest.mark.parametrize("solver", [*sorted(SAMPLERS), "one_step"])
def test_each_row_equals_its_query_sampled_alone(retriever: DiffusionRetriever, solver: str) -> None:
    torch.manual_seed(1)
    z_q_BD = functional.normalize(torch.randn(4, 8), dim=-1)
    settings = SamplerConfig(solver=solver, num_steps=4, guidance=0.3)
    z_BLD = sample_each(retriever, z_q_BD, SEEDS, settings)
    for row, seed in enumerate(SEEDS):
        alone_1LD = retriever.generate(
            z_q_BD[row : row + 1],
            num_steps=4,
            solver=settings.solver,
            guidance=0.3,
            generator=torch.Generator().manual_seed(seed),
        )
        assert (z_BLD[row] - alone_1LD[0]).abs().max() < 1e-4
    assert (z_BLD[0] - z_BLD[2]).abs().max() > 1e-3, "the query has no say"
    same_query_BD = z_q_BD[:1].repeat(4, 1)
    z_BLD = sample_each(retriever, same_query_BD, SEEDS, settings)
    assert (z_BLD[0] - z_BLD[2]).abs().max() < 1e-4, "same query, same seed"
    assert (z_BLD[0] - z_BLD[1]).abs().max() > 1e-3, "the seed has no say"


def test_the_likeliest_rows_of_a_batch_are_those_of_generate() -> None:
    torch.manual_seed(0)
    network = NetworkConfig(num_rows=4, dim=8, hidden=16, mlp=16, num_heads=2, num_layers=1, num_anchors=40)
    model = DiffusionRetriever(network, NoiseConfig(sigma_max=1.0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    assert model.mixture is not None
    torch.nn.init.normal_(model.mixture.query_prior.weight, std=3.0)
    model.mixture.anchors_ND.copy_(functional.normalize(torch.randn(40, 8), dim=-1))
    z_q_BD = functional.normalize(torch.randn(4, 8), dim=-1)
    settings = SamplerConfig(solver="likeliest")
    z_BLD = sample_each(model, z_q_BD, SEEDS, settings)
    alone = [model.generate(z_q_1D, solver="likeliest") for z_q_1D in z_q_BD.split(1)]
    assert torch.equal(z_BLD, torch.cat(alone))
    assert not torch.equal(z_BLD[0], z_BLD[1]), "the query has no say"


@pytest.mark.parametrize("solver", ["euler", "sde"])
def test_steering_is_a_querys_own(retriever: DiffusionRetriever, solver: str) -> None:
    z_q_BD = functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    settings = SamplerConfig(solver=solver, num_steps=4)
    plain_BLD = sample_each(retriever, z_q_BD, SEEDS, settings)
    like_BD, ones_B = torch.zeros(4, 8), torch.ones(4)
    like_BD[2, 0] = 1.0
    steering = Steering(ones_B, ones_B, like_BD, torch.zeros(4, 1, 8))
    steered_BLD = sample_each(retriever, z_q_BD, SEEDS, settings, steering)
    assert (steered_BLD - plain_BLD)[[0, 1, 3]].abs().max() < 1e-4
    assert steered_BLD[2, :, 0].mean() > plain_BLD[2, :, 0].mean() + 0.1


def test_stated_sampler_settings_replace_the_trained_ones() -> None:
    trained = SamplerConfig(solver="heun", num_steps=8, guidance=0.1, levels="tangent")
    assert RetrievalSettings().sampler(trained) == trained
    stated = RetrievalSettings(solver="sde", num_steps=256, guidance=0.0).sampler(trained)
    assert stated == SamplerConfig(solver="sde", num_steps=256, guidance=0.0, levels="tangent")
