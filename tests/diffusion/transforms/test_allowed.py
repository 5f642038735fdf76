"""Anchors that an answer may be made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from r4t_ray.diffusion import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.diffusion.generation import generate_each
from r4t_ray.diffusion.hub import DiffusionRetriever

NUM_ANCHORS, DIM, NUM_ROWS = 24, 6, 4


def with_anchors(anchors_ND: Tensor, candidates: int | None) -> DiffusionRetriever:
    """An untrained network that ranks the anchors by their nearness alone."""
    shape = NetworkConfig(
        num_rows=NUM_ROWS, dim=DIM, hidden_size=8, mlp_size=8, num_heads=2, num_layers=1, num_anchors=len(anchors_ND),
        prior="nearness",
    )  # fmt: skip
    sampler = SamplerConfig(solver="top_anchors", diversity=2.0, candidates=candidates)
    retriever = DiffusionRetriever(shape, NoiseConfig(), sampler).eval()
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(anchors_ND)
    return retriever


@pytest.mark.parametrize("candidates", [6, None])
def test_the_picks_are_those_of_a_network_that_has_the_allowed_anchors_alone(candidates: int | None) -> None:
    torch.manual_seed(0)
    anchors_ND = functional.normalize(torch.randn(NUM_ANCHORS, DIM), dim=-1)
    z_q_BD = functional.normalize(torch.randn(3, DIM), dim=-1)
    allowed_BN = torch.ones(3, NUM_ANCHORS, dtype=torch.bool)
    allowed_BN[0, ::2] = False
    allowed_BN[1, 2:] = False
    retriever = with_anchors(anchors_ND, candidates)
    z_BLD = generate_each(retriever, z_q_BD, retriever.sampler, seeds=[0, 1, 2], allowed_BN=allowed_BN)
    fewer = with_anchors(anchors_ND[1::2], candidates)
    assert torch.allclose(z_BLD[0], generate_each(fewer, z_q_BD[:1], fewer.sampler, seeds=[0])[0])
    plain_BLD = generate_each(retriever, z_q_BD, retriever.sampler, seeds=[0, 1, 2])
    assert torch.equal(z_BLD[2], plain_BLD[2])
    assert not torch.equal(z_BLD[0], plain_BLD[0]), "everything was allowed"
    # Two anchors are allowed and four rows are wanted: the two come first, and the others follow.
    numbers = [(anchors_ND == row_D).all(dim=1).nonzero().item() for row_D in z_BLD[1]]
    assert set(numbers[:2]) == {0, 1}
    assert len(set(numbers)) == NUM_ROWS
