"""The averaged gradients of two workers equal the gradients of one worker with the joint batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, distributed
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig
from r4t_ray.diffusion.training.loss import SetLoss

NUM_WORKERS, BATCH_SIZE = 2, 8
SHAPE = NetworkConfig(
    num_rows=3, dim=8, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, noise_dim=4, num_anchors=4,
    dropout=0.0, attention_dropout=0.0,
)  # fmt: skip


def set_loss() -> SetLoss:
    """The same retriever in every process; weights that start training at zero are random here."""
    torch.manual_seed(0)
    retriever = DiffusionRetriever(SHAPE, NoiseConfig(sigma_data=0.35, sigma_min=1e-4, sigma_max=80.0))
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(torch.eye(8)[:4])
    with torch.no_grad():
        for parameter in retriever.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return SetLoss(retriever, prior_weight=1.0).train()


def joint_batch() -> list[Tensor]:
    """Pairs of different weights; 11 rows of the first half are anchors, and 2 of the second half."""
    generator = torch.Generator().manual_seed(1)
    target_BLD = normalize(torch.randn(BATCH_SIZE, 3, 8, generator=generator), dim=-1)
    rows = target_BLD.flatten(0, 1)
    rows[:11] = torch.eye(8)[torch.arange(11) % 4]
    rows[-2:] = torch.eye(8)[:2]
    eps_BLD = torch.randn(BATCH_SIZE, 3, 8, generator=generator)
    sigma_B = 0.1 + torch.rand(BATCH_SIZE, generator=generator)
    z_q_BD = normalize(torch.randn(BATCH_SIZE, 8, generator=generator), dim=-1)
    is_dropped_B = torch.arange(BATCH_SIZE) % 3 == 0
    return [target_BLD, eps_BLD, sigma_B, z_q_BD, is_dropped_B, torch.linspace(0.25, 2.0, BATCH_SIZE)]


def gradients(module: torch.nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def work(rank: int, folder: str) -> None:
    """One worker: it takes its half of the batch and writes its gradients to a file."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=NUM_WORKERS)
    shared = DistributedDataParallel(set_loss())
    shared(*(values.chunk(NUM_WORKERS)[rank] for values in joint_batch())).backward()
    torch.save(gradients(shared), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_workers_give_the_gradients_of_the_joint_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=NUM_WORKERS)
    alone = set_loss()
    alone(*joint_batch()).backward()
    expected = gradients(alone)
    assert len(expected) == len(list(alone.parameters()))
    assert all(float(gradient.abs().max()) > 1e-4 for gradient in expected)
    for rank in range(NUM_WORKERS):
        for ours, theirs in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
