"""The mixture of known answers into the anchors' shares: by hand, and what training does with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from r4t_ray.diffusion.denoiser import QueryDenoiser
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.memory import LEAST_SHARE, MIDDLE, NEIGHBOURS, NO_ENTRY, TRUST_SCALE, Memory
from r4t_ray.diffusion.settings import DiffusionConfig, NetworkConfig, NoiseConfig, OptimizerConfig, SamplerConfig
from r4t_ray.diffusion.training.known import KnownAnswers
from r4t_ray.diffusion.training.learner import Learner

SHAPE = NetworkConfig(
    num_rows=2, dim=4, hidden_size=8, mlp_size=8, num_heads=2, num_layers=1, noise_dim=4, num_anchors=4,
    prior="nearness", num_keys=3, num_key_entries=2,
)  # fmt: skip
KEYS_TD = torch.tensor([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1.0, 0]])
ENTRIES_TR = torch.tensor([[0, 1], [1, NO_ENTRY], [3, NO_ENTRY]], dtype=torch.int32)


def remembering(tau: float = 0.5, trust: tuple[float, float, float] = (0.01, 0.02, -0.03)) -> Memory:
    made = Memory(SHAPE).eval()
    made.keys_TD.copy_(KEYS_TD)
    made.entries_TR.copy_(ENTRIES_TR)
    with torch.no_grad():
        made.log_temperature.fill_(np.log(tau))
        made.trust_3.copy_(torch.tensor(trust))
    return made


@torch.no_grad()
def test_the_mixture_by_hand() -> None:
    """Cosines to the keys: 1, 0.6 and 0. Key 0 shares its vote between anchors 0 and 1."""
    z_q_BD, cos_BN = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0.2, 0.9, 0.1, 0.0]])
    logits_BN = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    vote_T = np.exp(np.array([1.0, 0.6, 0.0]) / 0.5)
    vote_T /= vote_T.sum()
    memory_N = np.array([vote_T[0] / 2, vote_T[0] / 2 + vote_T[1], LEAST_SHARE, vote_T[2]])
    trust = 1 / (1 + np.exp(-TRUST_SCALE * (0.01 + 0.02 * (1.0 - MIDDLE) - 0.03 * (0.9 - MIDDLE))))
    network_N = np.exp([1.0, 2.0, 0.0, -1.0]) / np.exp([1.0, 2.0, 0.0, -1.0]).sum()
    found_N = remembering()(z_q_BD, cos_BN, logits_BN)[0].exp().numpy()
    assert found_N == pytest.approx(trust * memory_N + (1 - trust) * network_N, rel=1e-5)
    assert found_N.sum() == pytest.approx(1.0, abs=1e-5)


@torch.no_grad()
def test_in_training_a_query_does_not_see_its_own_key() -> None:
    memory, z_q_BD = remembering(trust=(1.0, 0.0, 0.0)), KEYS_TD[:1]
    parts = z_q_BD, torch.zeros(1, 4), torch.zeros(1, 4)
    assert memory(*parts).argmax() == 1
    without_own = memory.train()(*parts).exp()[0]
    assert float(without_own[0]) < 0.05 < 0.6 < float(without_own[1])


@torch.no_grad()
def test_in_training_a_query_whose_own_key_is_the_only_one_knows_nothing() -> None:
    memory = Memory(SHAPE.model_copy(update={"num_keys": 1})).eval()
    memory.keys_TD.copy_(KEYS_TD[:1])
    memory.entries_TR.copy_(ENTRIES_TR[:1])
    logits_BN = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    parts = KEYS_TD[:1], torch.zeros(1, 4), logits_BN
    assert memory(*parts).exp()[0, 0] > 0.2
    assert torch.equal(memory.train()(*parts), logits_BN.log_softmax(dim=1))


@torch.no_grad()
def test_far_keys_have_no_vote() -> None:
    shape = SHAPE.model_copy(update={"num_keys": NEIGHBOURS + 1, "num_key_entries": 1})
    memory = Memory(shape).eval()
    memory.keys_TD[:] = torch.tensor([1.0, 0, 0, 0])
    memory.keys_TD[-1] = torch.tensor([0.9, 0.1, 0, 0])
    memory.entries_TR[:] = 0
    memory.entries_TR[-1] = 2
    memory.trust_3.copy_(torch.tensor([1.0, 0.0, 0.0]))
    share_N = memory(torch.tensor([[1.0, 0, 0, 0]]), torch.zeros(1, 4), torch.zeros(1, 4))[0].exp()
    assert float(share_N[2]) < 1e-6


@torch.no_grad()
def test_a_retriever_saves_what_it_remembers_and_a_dropped_query_has_no_memory(tmp_path: Path) -> None:
    torch.manual_seed(0)
    retriever = DiffusionRetriever(SHAPE, NoiseConfig(), SamplerConfig(solver="top_anchors", candidates=2)).eval()
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(torch.eye(4))
    retriever.mixture.memory = remembering(trust=(1.0, 0.0, 0.0))
    z_q_BD = functional.normalize(torch.tensor([[0.1, 0.1, 1.0, 0.2]]), dim=-1)
    assert retriever.generate(z_q_BD)[0, 0].argmax() == 3, "the nearest key names anchor 3, the nearest anchor is 2"
    assert QueryDenoiser(retriever, z_q_BD).nearness()[0].argmax() == 3
    dropped_BN = retriever.prior_logits(z_q_BD, torch.ones(1, dtype=torch.bool))
    assert torch.equal(dropped_BN[0], retriever.mixture.bias_N)
    retriever.save_pretrained(tmp_path)
    loaded = DiffusionRetriever.from_pretrained(tmp_path)
    assert torch.equal(loaded.generate(z_q_BD), retriever.generate(z_q_BD))
    assert loaded.mixture is not None
    assert loaded.mixture.memory is not None
    assert torch.equal(loaded.mixture.memory.entries_TR, ENTRIES_TR)


def test_training_trusts_the_memory_where_it_is_right_about_other_queries() -> None:
    """Eight queries near one axis all have anchor 3 as target. One retriever's keys name it, another's do not."""
    generator = torch.Generator().manual_seed(0)
    z_q_BD = functional.normalize(torch.tensor([1.0, 0, 0, 0]) + 0.3 * torch.randn(8, 4, generator=generator), dim=-1)
    target_BLD = torch.eye(4)[3].expand(8, 2, 4)
    optimizer = OptimizerConfig(learning_rate=0.01, warmup_steps=2, num_steps=60, batch_size=8)
    shape = SHAPE.model_copy(update={"num_keys": 8, "num_key_entries": 1})
    config, trust = DiffusionConfig(optimizer=optimizer, query_dropout=0.0), []
    for entry in (3, 2):
        known = KnownAnswers(z_q_BD.numpy(), np.full((8, 1), entry, np.int32))
        learner = Learner(
            config, shape, "oar", seed=0, rank=0, anchors_ND=np.eye(4, dtype=np.float32),
            hubness_N=np.zeros(4, np.float32), known=known,
        )  # fmt: skip
        for _ in range(60):
            learner.update(z_q_BD, target_BLD, torch.ones(8))
        trust.append(learner.retriever.mixture.memory.trust_3[0].item())
    assert trust[0] > 0.05
    assert trust[1] < -0.05
