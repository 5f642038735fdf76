from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.diffusion.training.diversity import tuned_diversity
from r4t_ray.measures import vendi_scores


@pytest.fixture(scope="module")
def retriever() -> DiffusionRetriever:
    """An untrained network that prefers the anchors near the query; its anchors share a direction, as texts do."""
    torch.manual_seed(0)
    shape = NetworkConfig(
        num_rows=4, dim=8, hidden_size=8, mlp_size=8, num_heads=2, num_layers=1, num_anchors=60, prior="nearness"
    )
    made = DiffusionRetriever(shape, NoiseConfig(), SamplerConfig(solver="top_anchors")).eval()
    assert made.mixture is not None
    made.mixture.anchors_ND.copy_(functional.normalize(torch.randn(60, 8) + 0.5, dim=-1))
    return made


def test_answers_become_as_diverse_as_the_targets(retriever: DiffusionRetriever, tmp_path: Path) -> None:
    z_q_BD = functional.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(1)) + 0.5, dim=-1)
    nearest_BLD = retriever.generate(z_q_BD)
    target_BLD = retriever.with_sampler(SamplerConfig(solver="top_anchors", diversity=2.5)).generate(z_q_BD)
    wanted = float(vendi_scores(target_BLD.numpy()).mean())
    assert float(vendi_scores(nearest_BLD.numpy()).mean()) < wanted - 0.1
    diversity = tuned_diversity(retriever, z_q_BD, target_BLD)
    tuned = retriever.with_sampler(SamplerConfig(solver="top_anchors", diversity=diversity))
    tuned.save_pretrained(tmp_path)
    loaded = DiffusionRetriever.from_pretrained(tmp_path)
    assert loaded.sampler.diversity == diversity > 0
    assert float(vendi_scores(loaded.generate(z_q_BD).numpy()).mean()) == pytest.approx(wanted, abs=0.02)
    assert tuned_diversity(retriever, z_q_BD, nearest_BLD[:, :1].expand(-1, 4, -1)) == 0.0
