"""The directions of a request depend on its query and seed, not on the other requests in the batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from r4t_ray.diffusion import SOLVERS, DiffusionRetriever
from r4t_ray.diffusion.generation import generate_each, sampler_with
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.diffusion.transforms import Steering
from r4t_ray.errors import ConfigError

NETWORK = NetworkConfig(
    num_rows=2, dim=2, hidden_size=4, mlp_size=4, num_heads=2, num_layers=1, noise_dim=4, num_anchors=2
)
SEEDS = [5, 2**62, 5, 0]


@pytest.fixture(scope="module")
def retriever() -> DiffusionRetriever:
    torch.manual_seed(0)
    network = NetworkConfig(num_rows=4, dim=8, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, num_anchors=0)
    noise = NoiseConfig(sigma_min=0.05, sigma_max=1.0, sigma_data=8**-0.5)
    model = DiffusionRetriever(network, noise, SamplerConfig(solver="heun", num_steps=4))
    with torch.no_grad():  # With zero-initialised output layers the query would have no effect.
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model.eval()


@pytest.mark.parametrize("solver", sorted(set(SOLVERS) - {"top_anchors"}))
def test_each_row_equals_its_query_sampled_alone(retriever: DiffusionRetriever, solver: str) -> None:
    torch.manual_seed(1)
    z_q_BD = functional.normalize(torch.randn(4, 8), dim=-1)
    settings = SamplerConfig(solver=solver, num_steps=4, guidance=0.3)
    z_BLD = generate_each(retriever, z_q_BD, settings, seeds=SEEDS)
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
    z_BLD = generate_each(retriever, same_query_BD, settings, seeds=SEEDS)
    assert (z_BLD[0] - z_BLD[2]).abs().max() < 1e-4, "same query, same seed"
    assert (z_BLD[0] - z_BLD[1]).abs().max() > 1e-3, "the seed has no say"


def with_anchors() -> DiffusionRetriever:
    """A retriever of 4 rows with 40 random anchors."""
    torch.manual_seed(0)
    network = NetworkConfig(num_rows=4, dim=8, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, num_anchors=40)
    model = DiffusionRetriever(network, NoiseConfig(sigma_max=1.0, sigma_min=1e-4)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    assert model.mixture is not None
    torch.nn.init.normal_(model.mixture.query_prior.weight, std=3.0)
    model.mixture.anchors_ND.copy_(functional.normalize(torch.randn(40, 8), dim=-1))
    return model


def test_the_temperature_of_a_query_is_a_factor_of_its_weight_of_diversity() -> None:
    model = with_anchors()
    z_q_BD = functional.normalize(torch.randn(4, 8), dim=-1)[:1].expand(4, -1)
    factors = [0.0, 0.5, 1.0, 1.0]
    steering = Steering(
        temperature_B=torch.tensor(factors),
        strength_B=torch.zeros(4),
        like_BD=torch.zeros(4, 8),
        avoid_BJD=torch.zeros(4, 1, 8),
    )

    def rows(diversity: float, steering: Steering | None = None) -> torch.Tensor:
        settings = SamplerConfig(solver="top_anchors", diversity=diversity)
        return generate_each(model, z_q_BD, settings, seeds=SEEDS, steering=steering)

    found_BLD = rows(20.0, steering)
    for row, factor in enumerate(factors):
        assert torch.equal(found_BLD[row], rows(20.0 * factor)[row])
    assert not torch.equal(found_BLD[0], found_BLD[2])
    wide = replace(steering, temperature_B=torch.full((4,), 9.0))
    assert not torch.equal(rows(0.5, wide)[0], rows(0.5, wide)[1]), "the seed has no say"


def test_the_top_anchors_of_a_batch_equal_the_rows_of_generate() -> None:
    model = with_anchors()
    z_q_BD = functional.normalize(torch.randn(4, 8), dim=-1)
    settings = SamplerConfig(solver="top_anchors")
    z_BLD = generate_each(model, z_q_BD, settings, seeds=SEEDS)
    alone = [model.generate(z_q_1D, solver="top_anchors") for z_q_1D in z_q_BD.split(1)]
    assert torch.equal(z_BLD, torch.cat(alone))
    assert not torch.equal(z_BLD[0], z_BLD[1]), "the query has no say"
    # More rows than in training, from one pass. The rows that a smaller answer has come first.
    more_BLD = generate_each(model, z_q_BD, settings, seeds=SEEDS, num_rows=40)
    assert more_BLD.shape == (4, 40, 8)
    assert torch.equal(more_BLD[:, :4], z_BLD)
    assert more_BLD.unique(dim=1).shape[1] == 40
    assert torch.equal(model.generate(z_q_BD, solver="top_anchors", num_rows=40), more_BLD)
    assert model.generate(z_q_BD, solver="dpmpp_2m", num_rows=40).shape == (4, 4, 8)


@pytest.mark.parametrize("solver", ["euler", "sde"])
def test_steering_changes_only_the_query_that_asks_for_it(retriever: DiffusionRetriever, solver: str) -> None:
    z_q_BD = functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    settings = SamplerConfig(solver=solver, num_steps=4)
    plain_BLD = generate_each(retriever, z_q_BD, settings, seeds=SEEDS)
    like_BD, ones_B = torch.zeros(4, 8), torch.ones(4)
    like_BD[2, 0] = 1.0
    steering = Steering(temperature_B=ones_B, strength_B=ones_B, like_BD=like_BD, avoid_BJD=torch.zeros(4, 1, 8))
    steered_BLD = generate_each(retriever, z_q_BD, settings, seeds=SEEDS, steering=steering)
    assert (steered_BLD - plain_BLD)[[0, 1, 3]].abs().max() < 1e-4
    assert steered_BLD[2, :, 0].mean() > plain_BLD[2, :, 0].mean() + 0.1


def test_given_sampler_settings_replace_the_trained_ones() -> None:
    trained = SamplerConfig(solver="heun", num_steps=8, guidance=0.1, levels="tangent")
    assert sampler_with(trained) == trained
    assert sampler_with(trained, guidance=0.7).guidance == 0.7
    stated = sampler_with(trained, solver="sde", num_steps=256, guidance=0.0)
    assert stated == SamplerConfig(solver="sde", num_steps=256, guidance=0.0, levels="tangent")
    with pytest.raises(ConfigError, match="guidance -1"):
        sampler_with(trained, guidance=-1)


@pytest.mark.parametrize(("guidance", "batch"), [(0.0, 4), (0.5, 8)])
def test_no_unconditional_pass_without_guidance(retriever: DiffusionRetriever, guidance: float, batch: int) -> None:
    batches = []
    hook = retriever.register_forward_hook(lambda module, inputs, output: batches.append(len(inputs[0])))
    z_q_BD = functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    retriever.generate(z_q_BD, solver="euler", num_steps=2, guidance=guidance)
    hook.remove()
    assert batches == [batch, batch]


@torch.no_grad()
def test_the_top_anchors_are_the_anchors_by_their_weight_at_the_highest_noise() -> None:
    torch.manual_seed(0)
    config = NETWORK.model_copy(update={"num_anchors": 3})
    retriever = DiffusionRetriever(
        config,
        NoiseConfig(sigma_max=1.0, sigma_min=1e-4),
        SamplerConfig(solver="top_anchors"),
    ).eval()
    assert retriever.mixture is not None
    for parameter in retriever.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    anchors_ND = functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=-1)
    retriever.mixture.anchors_ND.copy_(anchors_ND)
    z_q_BD = functional.normalize(torch.randn(5, 2), dim=-1)
    z_BLD = retriever.generate(z_q_BD)
    assert z_BLD.shape == (5, 2, 2)
    # Send rows at z = 0 through the whole denoiser, twice the requested number; this gives one weight per anchor.
    kept_B, sigma_B = torch.zeros(5, dtype=torch.bool), torch.ones(5)
    condition_BD = retriever.network.condition(z_q_BD, kept_B)
    hidden_BLH = retriever.network.hidden_rows(torch.zeros(5, 4, 2), torch.zeros(5), condition_BD)
    head_BLE = retriever.mixture.row_head(hidden_BLH)
    query_BN = retriever.mixture.query_logits(condition_BD, z_q_BD, kept_B)
    weights_BLN = retriever.mixture.logits(torch.zeros(5, 4, 2), sigma_B, head_BLE, query_BN).softmax(dim=-1)
    assert float((weights_BLN - weights_BLN[:, :1]).abs().max()) < 1e-6
    best_B2 = weights_BLN.mean(dim=1).argsort(dim=1, descending=True)[:, :2]
    assert torch.equal(z_BLD, anchors_ND[best_B2])
    retriever.mixture.query_prior.bias.copy_(torch.tensor([0.0, 50.0, 100.0]))
    assert torch.equal(retriever.generate(z_q_BD), anchors_ND[[2, 1]].expand(5, 2, 2))


def test_the_top_anchors_need_anchors() -> None:
    retriever = DiffusionRetriever(
        NETWORK.model_copy(update={"num_anchors": 0}),
        NoiseConfig(sigma_min=1e-4, sigma_max=80.0),
    )
    with pytest.raises(ConfigError, match="num_anchors set"):
        retriever.generate(torch.eye(2), solver="top_anchors")
