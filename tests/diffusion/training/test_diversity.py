from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from r4t_ray.diffusion.generation import generate_each
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.diffusion.training.diversity import tuned_diversity
from r4t_ray.diffusion.transforms import Steering
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


def test_a_bounded_answer_picks_near_the_query_and_a_higher_temperature_picks_farther(
    retriever: DiffusionRetriever,
) -> None:
    z_q_BD = functional.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(1)) + 0.5, dim=-1)
    assert retriever.mixture is not None
    rank_BN = (z_q_BD @ retriever.mixture.anchors_ND.T).argsort(dim=1, descending=True).argsort(dim=1)
    sampler = SamplerConfig(solver="top_anchors", diversity=50.0, candidates=10)

    def farthest(temperature: float, liked_BD: torch.Tensor, strength: float = 0.0) -> int:
        steering = Steering(
            temperature_B=torch.full((20,), temperature),
            strength_B=torch.full((20,), strength),
            like_BD=liked_BD,
            avoid_BJD=torch.zeros(20, 1, 8),
        )
        z_BLD = generate_each(retriever, z_q_BD, sampler, seeds=range(20), steering=steering)
        number_BL = (z_BLD @ retriever.mixture.anchors_ND.T).argmax(dim=2)  # type: ignore[union-attr]
        return int(rank_BN.gather(1, number_BL).max())

    nothing_BD = torch.zeros(20, 8)
    assert farthest(1.0, nothing_BD) < 10 <= farthest(0.0, -z_q_BD, strength=3.0)  # a liked text moves the bound
    assert farthest(3.0, nothing_BD) > 20
