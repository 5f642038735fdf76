"""A one-step student against its teacher, where the end of every trajectory is known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from r4t_ray.diffusion.generation import solve
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, OptimizerConfig, SamplerConfig, StudentConfig
from r4t_ray.diffusion.training import student
from r4t_ray.diffusion.training.student import StudentLoss, distill, training_queries

DIM, NUM_ROWS = 8, 2
SHAPE = NetworkConfig(
    num_rows=NUM_ROWS,
    dim=DIM,
    hidden_size=32,
    mlp_size=32,
    num_heads=2,
    num_layers=1,
    noise_dim=8,
    dropout=0,
    attention_dropout=0,
    num_anchors=0,
)
NOISE = NoiseConfig(sigma_data=0.35, sigma_min=0.01, sigma_max=1.0)
STUDENT = StudentConfig(
    optimizer=OptimizerConfig(learning_rate=5e-3, warmup_steps=5, num_steps=150, batch_size=64, ema_decay=0.95),
    trajectory=SamplerConfig(solver="heun", num_steps=6, guidance=0.0),
)


@pytest.fixture(autouse=True)
def known_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """For every query the teacher's trajectory takes each noise row to the nearest of four axes."""

    def solve(teacher: DiffusionRetriever, noise_BLD: Tensor, z_q_BD: Tensor, sampler: SamplerConfig) -> Tensor:
        assert sampler == STUDENT.trajectory
        return torch.eye(4, DIM)[noise_BLD[..., :4].argmax(dim=-1)]

    monkeypatch.setattr(student, "solve", solve)


def one_step(retriever: DiffusionRetriever, noise_BLD: Tensor, z_q_BD: Tensor) -> Tensor:
    return solve(retriever, noise_BLD, z_q_BD, SamplerConfig(solver="one_step"))


def teacher(num_anchors: int) -> DiffusionRetriever:
    torch.manual_seed(0)
    made = DiffusionRetriever(
        SHAPE.model_copy(update={"num_anchors": num_anchors}), NOISE, SamplerConfig(guidance=0.5)
    ).eval()
    if made.mixture is not None:
        made.mixture.anchors_ND.copy_(torch.eye(num_anchors, DIM))
    return made


def noise(seed: int, size: int = 200) -> Tensor:
    return torch.randn(size, NUM_ROWS, DIM, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def z_q_BD() -> Tensor:
    return functional.normalize(torch.randn(200, DIM, generator=torch.Generator().manual_seed(1)), dim=-1)


@pytest.mark.parametrize("num_anchors", [5, pytest.param(0, marks=pytest.mark.slow)])
def test_one_step_of_the_student_reaches_the_ends_of_the_teachers_trajectories(
    num_anchors: int, z_q_BD: Tensor
) -> None:
    known = teacher(num_anchors)
    before = {name: value.clone() for name, value in known.state_dict().items()}
    taught = distill(known, z_q_BD, STUDENT, seed=0)
    made_BLD = one_step(taught, noise(9), z_q_BD)
    agree = (made_BLD.argmax(dim=-1) == noise(9)[..., :4].argmax(dim=-1)).float().mean()
    untaught = (one_step(known, noise(9), z_q_BD).argmax(dim=-1) == noise(9)[..., :4].argmax(dim=-1)).float().mean()
    assert float(agree) > max(0.85, 0.1 + float(untaught)), (agree, untaught)
    assert torch.allclose(made_BLD.norm(dim=-1), torch.ones(200, NUM_ROWS), atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in known.state_dict().items())


def test_a_saved_student_generates_in_one_step(z_q_BD: Tensor, tmp_path: Path) -> None:
    few = STUDENT.model_copy(update={"optimizer": STUDENT.optimizer.model_copy(update={"num_steps": 1})})
    taught = distill(teacher(4), z_q_BD, few, seed=0)
    assert (taught.sampler.solver, taught.sampler.num_steps, taught.sampler.guidance) == ("one_step", 1, 0.0)
    taught.save_pretrained(tmp_path)
    loaded = DiffusionRetriever.from_pretrained(tmp_path)
    assert loaded.sampler == taught.sampler
    made = loaded.generate(z_q_BD[:3], generator=torch.Generator().manual_seed(5))
    drawn = torch.randn(3, NUM_ROWS, DIM, generator=torch.Generator().manual_seed(5))
    assert torch.equal(made, one_step(taught, drawn, z_q_BD[:3]))


@pytest.mark.parametrize(("max_grad_norm", "moves"), [(None, True), (1e-12, False)])
def test_gradients_are_clipped_if_max_grad_norm_is_set(
    z_q_BD: Tensor, max_grad_norm: float | None, moves: bool
) -> None:
    """Adam divides by the size of the gradient plus 1e-8, so a norm of 1e-12 makes the update very small."""
    changed = {"num_steps": 3, "max_grad_norm": max_grad_norm}
    few = STUDENT.model_copy(update={"optimizer": STUDENT.optimizer.model_copy(update=changed)})
    known = teacher(4)
    taught = distill(known, z_q_BD, few, seed=0)
    moved = [(one - other).abs().max() for one, other in zip(taught.parameters(), known.parameters(), strict=True)]
    assert bool(max(moved) > 1e-4) == moves, max(moved)


def test_seeds_and_ranks_sample_different_noise(z_q_BD: Tensor) -> None:
    few = STUDENT.model_copy(update={"optimizer": STUDENT.optimizer.model_copy(update={"num_steps": 2})})
    made = [
        distill(teacher(4), z_q_BD, few, seed=seed, rank=rank).network.rows_in.weight
        for seed, rank in ((0, 1), (1, 0), (0, 1))
    ]
    assert torch.equal(made[0], made[2])
    assert not torch.allclose(made[0], made[1], atol=1e-6)


def test_the_loss_of_anchors_by_hand() -> None:
    """Untrained: 10 nats for the anchor at the query, and the product of row and anchor over sigma_max^2 + WIDTH^2."""
    untrained = teacher(4)
    rows_BLD = torch.zeros(1, NUM_ROWS, DIM)
    rows_BLD[0, 0, 0] = 3.0
    loss = StudentLoss(untrained)(rows_BLD, torch.eye(4, DIM)[3:], torch.eye(4, DIM)[torch.tensor([[1, 0]])])
    first, second = np.log(np.exp(3 / 1.0004) + 2 + np.exp(10)), np.log(3 + np.exp(10))
    assert float(loss.detach()) == pytest.approx((first + second) / 2, abs=1e-4)


def test_a_stochastic_solver_is_refused_for_trajectories() -> None:
    with pytest.raises(ValidationError, match="euler, heun, dpmpp_2m"):
        StudentConfig(trajectory=SamplerConfig(solver="sde"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_training_queries_are_distinct(tmp_path: Path, dtype: type[np.floating]) -> None:
    z_q = np.array([[3, 4], [0, 5], [3, 4], [5, 0], [0, 5], [0, 5]], dtype) / dtype(5)
    for number, split in enumerate((["train", "val"], ["train", "train"], ["val", "val"])):
        rows = z_q[2 * number : 2 * number + 2]
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 2)
        pq.write_table(pa.table({"split": split, "z_q": column}), tmp_path / f"{number}.parquet")
    assert training_queries(tmp_path).tolist() == [pytest.approx([0.6, 0.8], abs=1e-3), [1.0, 0.0]]
