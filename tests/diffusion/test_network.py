from __future__ import annotations

import pytest
import torch
from torch import Tensor

from r4t_ray.diffusion.network import SetTransformer
from r4t_ray.diffusion.settings import NetworkConfig

CONFIG = NetworkConfig(
    num_rows=5,
    dim=8,
    hidden_size=16,
    mlp_size=24,
    num_heads=4,
    num_layers=2,
    num_query_tokens=3,
    noise_dim=6,
    num_anchors=0,
)


@pytest.fixture
def network() -> SetTransformer:
    """A network in eval mode whose zero-initialised weights are set at random, so that every path has an effect."""
    torch.manual_seed(0)
    network = SetTransformer(CONFIG).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows_BLD, z_q_BD = torch.randn(2, 5, 8, generator=generator), torch.randn(2, 8, generator=generator)
    return rows_BLD, torch.tensor([-1.0, 0.5]), z_q_BD, torch.zeros(2, dtype=torch.bool)


def test_table_3_has_53_9_million_parameters() -> None:
    with torch.device("meta"):
        network = SetTransformer(NetworkConfig(hidden_size=1024, mlp_size=1024, num_heads=16, num_layers=6))
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(53.9e6, rel=0.02)


@torch.no_grad()
def test_permuting_rows_permutes_the_output(network: SetTransformer, inputs: tuple[Tensor, ...]) -> None:
    rows_BLD, c_noise_B, z_q_BD, is_dropped_B = inputs
    order = torch.tensor([3, 0, 4, 1, 2])
    out_BLD = network(rows_BLD, c_noise_B, z_q_BD, is_dropped_B)
    permuted_BLD = network(rows_BLD[:, order], c_noise_B, z_q_BD, is_dropped_B)
    assert float((permuted_BLD - out_BLD[:, order]).abs().max()) < 1e-5
    assert float((permuted_BLD - out_BLD).abs().max()) > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("which", [0, 1, 2])
def test_each_input_matters_and_queries_do_not_mix(
    network: SetTransformer, inputs: tuple[Tensor, ...], which: int
) -> None:
    changed = [tensor.clone() for tensor in inputs]
    changed[which][1] = changed[which][1] * 0.5 + 0.3
    difference_B = (network(*changed) - network(*inputs)).abs().amax(dim=(1, 2))
    assert float(difference_B[0]) < 1e-6
    assert float(difference_B[1]) > 1e-3


@torch.no_grad()
def test_a_row_sees_the_other_rows(network: SetTransformer, inputs: tuple[Tensor, ...]) -> None:
    rows_BLD, *others = inputs
    moved_BLD = rows_BLD.clone()
    moved_BLD[:, 0] += 1
    assert float((network(moved_BLD, *others) - network(rows_BLD, *others))[:, 1:].abs().max()) > 1e-3


@torch.no_grad()
def test_a_dropped_query_is_the_null_embedding(network: SetTransformer, inputs: tuple[Tensor, ...]) -> None:
    rows_BLD, c_noise_B, z_q_BD, _ = inputs
    dropped_BLD = network(rows_BLD, c_noise_B, z_q_BD, torch.tensor([True, False]))
    by_hand = torch.stack([network.null_query_D, z_q_BD[1]])
    assert torch.equal(dropped_BLD, network(rows_BLD, c_noise_B, by_hand, torch.zeros(2, dtype=torch.bool)))


@torch.no_grad()
def test_cross_attention_differs_by_row(network: SetTransformer, inputs: tuple[Tensor, ...]) -> None:
    """With several tokens the attention of a row depends on the row."""
    rows = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(2))
    tokens = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(3))
    mixed = network.blocks[0].cross_attention(rows, tokens)
    assert float((mixed[:, 0] - mixed[:, 1]).abs().max()) > 1e-2


def test_starts_at_zero(inputs: tuple[Tensor, ...]) -> None:
    assert not SetTransformer(CONFIG)(*inputs).any()


def test_dropout_acts_in_training_only(network: SetTransformer, inputs: tuple[Tensor, ...]) -> None:
    dropping = SetTransformer(CONFIG.model_copy(update={"dropout": 0.1}))
    dropping.load_state_dict(network.state_dict())
    dropping.eval()
    assert torch.equal(dropping(*inputs), dropping(*inputs))
    dropping.train()
    assert not torch.equal(dropping(*inputs), dropping(*inputs))


@torch.no_grad()
def test_attention_is_softmax_of_scaled_products() -> None:
    """One head with identity maps: softmax(x x^T / sqrt(d)) x."""
    from r4t_ray.diffusion.network import Attention

    attention = Attention(4, 4, 1, 0.0)
    with torch.no_grad():
        for linear in (attention.query, attention.key_value, attention.out):
            linear.bias.zero_()
            linear.weight.copy_(torch.eye(4).repeat(len(linear.weight) // 4, 1))
    x = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    by_hand = torch.softmax(x @ x.mT / 2, dim=-1) @ x
    assert float((attention(x, x) - by_hand).abs().max()) < 1e-6
