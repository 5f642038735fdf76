from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from r4t_ray.diffusion.settings import DiffusionConfig, NetworkSettings, NoiseSettings, OptimizerConfig
from r4t_ray.diffusion.training.learner import Learner

NETWORK = NetworkSettings(
    hidden_size=32, mlp_size=32, num_heads=2, num_layers=1, noise_dim=4, attention_dropout=0.1, num_anchors=0
)
SHAPE = NETWORK.for_pairs(num_rows=3, dim=8)
CONFIG = DiffusionConfig(
    network=NETWORK,
    noise=NoiseSettings(sigma_min=1e-4, sigma_max=80.0, lognormal_mean=-0.51, lognormal_std=1.2),
    row_matching="random",
    prior_weight=0.0,
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=4, num_steps=100, batch_size=16, max_grad_norm=1.0),
)


@pytest.fixture
def pairs() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    z_q_BD = functional.normalize(torch.randn(16, 8, generator=generator), dim=-1)
    return z_q_BD, functional.normalize(torch.randn(16, 3, 8, generator=generator), dim=-1), torch.ones(16)


def test_updates_lower_the_loss_and_the_average_follows(pairs: tuple[Tensor, ...]) -> None:
    learner = Learner(CONFIG, SHAPE, "oar", seed=0, rank=0)
    before = learner.validate(*pairs)
    losses = [float(learner.update(*pairs)) for _ in range(80)]
    assert before == pytest.approx(1, abs=0.15)
    assert learner.validate(*pairs) < 0.95 * before
    assert sum(losses[-10:]) < sum(losses[:10])
    assert learner.step == 80


def test_validation_repeats_and_is_a_mean_over_rows(pairs: tuple[Tensor, ...]) -> None:
    learner = Learner(CONFIG, SHAPE, "oar", seed=0, rank=0)
    for _ in range(3):
        learner.update(*pairs)
    assert learner.validate(*pairs) == learner.validate(*pairs)
    # A second, smaller batch counts by its number of rows.
    more = [torch.cat([tensor, tensor[:4]]) for tensor in pairs]
    assert min(0.3, learner.validate(*pairs)) < learner.validate(*more) < 3


def test_validation_counts_a_pair_as_often_as_its_weight_says(pairs: tuple[Tensor, ...]) -> None:
    """With weights 0 and w only the pairs of weight w count, and w has no effect."""
    learner = Learner(CONFIG, SHAPE, "oar", seed=0, rank=0)
    for _ in range(5):
        learner.update(*pairs)
    first_half = torch.cat([torch.ones(8), torch.zeros(8)])
    halves = [learner.validate(*pairs[:2], weight_B) for weight_B in (first_half, 3 * first_half, 1 - first_half)]
    assert halves[0] == pytest.approx(halves[1])
    assert abs(halves[0] - halves[2]) > 1e-3
    assert learner.validate(*pairs) == pytest.approx((halves[0] + halves[2]) / 2)


def test_ranks_share_weights_and_sample_different_noise(pairs: tuple[Tensor, ...]) -> None:
    first, again, other_rank = (Learner(CONFIG, SHAPE, "oar", seed=0, rank=rank) for rank in (0, 0, 1))
    for ours, theirs in zip(first.retriever.parameters(), other_rank.retriever.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    losses = [float(learner.update(*pairs)) for learner in (first, again, other_rank)]
    assert losses[0] == losses[1] != losses[2]


def test_the_prior_distinguishes_sets_with_the_same_mean() -> None:
    """Three anchors at 120 degrees in one plane, three in another: both means are 0. No query is near an anchor."""
    turns = torch.tensor([0.0, 1.0, 2.0]) * 2 * torch.pi / 3
    triangle_3D = torch.stack([turns.cos(), turns.sin()], dim=1)
    anchors_ND = torch.zeros(6, 8)
    anchors_ND[:3, :2], anchors_ND[3:, 2:4] = triangle_3D, triangle_3D
    z_q_BD, target_BLD = torch.eye(8)[[4] * 8 + [5] * 8], anchors_ND.view(2, 3, 8).repeat_interleave(8, dim=0)
    shape = SHAPE.model_copy(update={"num_anchors": 6})
    noise = CONFIG.noise.model_copy(update={"lognormal_mean": 3.0, "sigma_max": 10.0})
    config = CONFIG.model_copy(update={"network": shape, "noise": noise, "prior_weight": 1.0, "query_dropout": 0.0})
    learner = Learner(config, shape, "wscr", seed=0, rank=0, anchors_ND=anchors_ND.numpy())
    for _ in range(100):
        learner.update(z_q_BD, target_BLD, torch.ones(16))
    share_BN = learner.retriever.eval().prior_logits(z_q_BD[[0, -1]], torch.zeros(2, dtype=torch.bool)).softmax(dim=-1)
    expected_BN = torch.tensor([[1 / 3] * 3 + [0.0] * 3, [0.0] * 3 + [1 / 3] * 3])
    assert torch.allclose(share_BN.detach(), expected_BN, atol=0.05), share_BN


@pytest.mark.parametrize("rank", [0, 1])
def test_a_restored_learner_continues_like_an_uninterrupted_run(
    pairs: tuple[Tensor, ...], tmp_path: Path, rank: int
) -> None:
    """Noise, dropped queries, dropout, both kinds of weights and the optimizer are as without a restart."""
    shape = SHAPE.model_copy(update={"dropout": 0.1, "attention_dropout": 0.1})
    unbroken = Learner(CONFIG, shape, "oar", seed=0, rank=rank)
    for _ in range(5):
        unbroken.update(*pairs)
    unbroken.save(tmp_path)
    losses = [float(unbroken.update(*pairs)) for _ in range(5)]
    restored = Learner(CONFIG, shape, "oar", seed=0, rank=rank)
    restored.restore(tmp_path)
    assert restored.step == 5
    assert [float(restored.update(*pairs)) for _ in range(5)] == losses
    for kept in ("retriever", "ema.model"):
        ours, theirs = (attrgetter(kept)(learner).parameters() for learner in (unbroken, restored))
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    moments = [next(iter(one.optimizer.state_dict()["state"].values()))["exp_avg"] for one in (unbroken, restored)]
    assert torch.equal(*moments)
    assert float(moments[0].abs().max()) > 0


def test_each_step_and_seed_samples_different_noise(pairs: tuple[Tensor, ...]) -> None:
    """With learning rate 0 the weights stay, so a loss depends only on its noise."""
    optimizer = CONFIG.optimizer.model_copy(update={"learning_rate": 1e-30})
    config = CONFIG.model_copy(update={"optimizer": optimizer})
    losses = [
        float(one.update(*pairs))
        for one in (Learner(config, SHAPE, "oar", seed=seed, rank=0) for seed in (0, 1))
        for _ in "abc"
    ]
    assert len(set(losses)) == 6
