"""The training benchmark: its random pairs, and one turn of every variant through real Ray Train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import train_diffusion
from r4t_ray.diffusion import DiffusionConfig, DiffusionRetriever, NetworkConfig


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_an_update_is_three_times_the_forward_pass_of_products_and_attentions(dropout: float) -> None:
    """With many rows and narrow layers most work is self-attention: 4 L^2 H forward. Inputs have no gradient."""
    network = NetworkConfig(
        num_rows=256,
        dim=8,
        hidden_size=16,
        mlp_size=16,
        num_heads=2,
        num_layers=1,
        dropout=dropout,
        attention_dropout=dropout,
        num_anchors=0,
    )
    attention = 4 * 256 * (256 + network.num_query_tokens) * 16
    products = 0

    def count(module: nn.Linear, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
        nonlocal products
        products += 2 * made.numel() * module.in_features

    config = DiffusionConfig(network=network, prior_weight=0.0, row_matching="random")
    retriever = DiffusionRetriever(network)
    for module in retriever.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(count)
    retriever(torch.randn(1, 256, 8), torch.ones(1), torch.randn(1, 8), torch.zeros(1, dtype=torch.bool))
    assert attention > 2 * products
    assert 2.9 < train_diffusion.update_flops(config, network) / (attention + products) <= 3.0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_variant_trains_and_is_printed(
    ray_session: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rates.json"
    asked = "--pairs 40 --batch 8 --turns 1 --windows 2 --window 3"
    train_diffusion.BENCHMARK.main([*asked.split(), "--out", str(out)])
    rates = {row["variant"]: row["samples_per_s"] for row in json.loads(out.read_text())["rows"]}
    assert list(rates) == list(train_diffusion.VARIANTS)
    assert all(len(made) == 1 and made[0] > 0 for made in rates.values())
    assert "streamed" in capsys.readouterr().out
