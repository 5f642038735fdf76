"""Steering by hand-computed numbers, and with every kind of solver on anchors of known prior."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from r4t_ray.diffusion import NetworkConfig, NoiseConfig, SamplerConfig, SolverName
from r4t_ray.diffusion.generation import solve
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.transforms.steering import PULL, Steering
from r4t_ray.measures import vendi_scores

NUM_ANCHORS, DIM, NUM_ROWS, NUM_QUERIES = 24, 12, 6, 64
STEPPING: tuple[SolverName, ...] = ("euler", "heun", "dpmpp_2m", "sde")
CASES = [(kind, solver) for kind in ("anchors", "free") for solver in STEPPING]
CASES += [("anchors", "one_step"), ("anchors", "top_anchors")]


class FreeRows(DiffusionRetriever):
    """A Bayes denoiser without anchors: rows scatter around unit centers, more often around centers near the query."""

    centers_ND: Tensor

    def forward(self, z_BLD: Tensor, sigma_B: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        noise_B11, scatter = sigma_B[:, None, None] ** 2, 0.1**2
        prior_BN = 3.0 * (z_q_BD @ self.centers_ND.T) * ~is_dropped_B[:, None]
        square_BLN = (z_BLD[:, :, None] - self.centers_ND).square().sum(-1)
        posterior_BLN = (prior_BN[:, None] - square_BLN / (2 * (noise_B11 + scatter))).softmax(-1)
        return (scatter * z_BLD + noise_B11 * (posterior_BLN @ self.centers_ND)) / (scatter + noise_B11)


@pytest.fixture(scope="module")
def anchors_ND() -> Tensor:
    return functional.normalize(torch.randn(NUM_ANCHORS, DIM, generator=torch.Generator().manual_seed(0)), dim=-1)


@pytest.fixture(scope="module")
def retrievers(anchored: DiffusionRetriever, anchors_ND: Tensor) -> dict[str, DiffusionRetriever]:
    shape = NetworkConfig(
        num_rows=NUM_ROWS, dim=DIM, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, noise_dim=8, num_anchors=0
    )
    free = FreeRows(shape, NoiseConfig(sigma_min=0.01, sigma_max=1.0))
    free.centers_ND = anchors_ND
    return {"anchors": anchored, "free": free}


@pytest.fixture(scope="module")
def anchored(anchors_ND: Tensor) -> DiffusionRetriever:
    """An untrained network whose rows are mixtures of anchors; a query prefers the anchors near it."""
    shape = NetworkConfig(
        num_rows=NUM_ROWS,
        dim=DIM,
        hidden_size=16,
        mlp_size=16,
        num_heads=2,
        num_layers=1,
        noise_dim=8,
        num_anchors=NUM_ANCHORS,
    )
    torch.manual_seed(0)
    made = DiffusionRetriever(shape, NoiseConfig(sigma_min=0.01, sigma_max=1.0)).eval()
    assert made.mixture is not None
    made.mixture.anchors_ND.copy_(anchors_ND)
    with torch.no_grad():
        made.mixture.query_prior.weight.copy_(3.0 * anchors_ND / DIM**0.5)
        made.mixture.row_head.bias[-1] = 20.0  # the gate is open
    return made


@pytest.fixture(scope="module")
def z_q_BD() -> Tensor:
    return functional.normalize(torch.randn(NUM_QUERIES, DIM, generator=torch.Generator().manual_seed(1)), dim=-1)


def steering(
    temperature: float = 1.0, strength: float = 1.0, like_D: Tensor | None = None, avoid_D: Tensor | None = None
) -> Steering:
    """The same steering terms for every query."""
    like, avoid = (torch.zeros(DIM) if vector is None else vector for vector in (like_D, avoid_D))
    every = torch.ones(NUM_QUERIES)
    return Steering(
        temperature_B=temperature * every,
        strength_B=strength * every,
        like_BD=like.expand(NUM_QUERIES, -1),
        avoid_BJD=avoid.expand(NUM_QUERIES, 1, -1),
    )


def solved(
    retriever: DiffusionRetriever,
    z_q_BD: Tensor,
    solver: SolverName,
    asked: Steering | None,
    guidance: float = 0.0,
    seed: int = 2,
) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    noise_BLD = torch.randn(NUM_QUERIES, NUM_ROWS, DIM, generator=source)
    sampler = SamplerConfig(solver=solver, num_steps=6, guidance=guidance)
    return solve(retriever, noise_BLD, z_q_BD, sampler, generator=source, steering=asked)


def shown(z_BLD: Tensor, vector_D: Tensor) -> float:
    """Mean cosine of the rows with a vector."""
    return float((z_BLD @ vector_D).mean())


@pytest.mark.parametrize(("kind", "solver"), CASES)
def test_higher_strength_pulls_and_pushes_more(
    retrievers: dict[str, DiffusionRetriever], z_q_BD: Tensor, anchors_ND: Tensor, kind: str, solver: SolverName
) -> None:
    wanted_D = anchors_ND[5]
    liked = [
        shown(solved(retrievers[kind], z_q_BD, solver, steering(strength=strength, like_D=wanted_D)), wanted_D)
        for strength in (0.0, 0.3, 1.0)
    ]
    assert liked[0] + 0.02 < liked[1] < liked[2] - 0.02, liked
    pushed = [
        solved(retrievers[kind], z_q_BD, solver, steering(strength=strength, avoid_D=wanted_D))
        for strength in (0.0, 0.3, 1.0)
    ]
    avoided = [float((z_BLD @ wanted_D).clamp_min(0).mean()) for z_BLD in pushed]
    assert avoided[0] > avoided[1] > avoided[2], avoided
    assert avoided[2] < 0.8 * avoided[0]


@pytest.mark.parametrize(("kind", "solver"), CASES)
def test_steering_without_texts_changes_nothing(
    retrievers: dict[str, DiffusionRetriever], z_q_BD: Tensor, kind: str, solver: SolverName
) -> None:
    unsteered_BLD = solved(retrievers[kind], z_q_BD, solver, None)
    assert torch.equal(solved(retrievers[kind], z_q_BD, solver, steering()), unsteered_BLD)


@pytest.mark.parametrize(("kind", "solver"), CASES)
def test_at_temperature_0_every_seed_gives_the_same_set(
    retrievers: dict[str, DiffusionRetriever], z_q_BD: Tensor, kind: str, solver: SolverName
) -> None:
    first, second = (solved(retrievers[kind], z_q_BD, solver, steering(0.0), seed=seed) for seed in (2, 3))
    assert torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(("kind", "solver"), CASES)
def test_temperature_raises_diversity(
    retrievers: dict[str, DiffusionRetriever], z_q_BD: Tensor, anchors_ND: Tensor, kind: str, solver: SolverName
) -> None:
    """Within a set; for top_anchors, whose rows always differ, among the sets of one query.

    The SDE's sets at 1 are about as diverse as rows of these anchors can be.
    """
    scores = []
    for temperature in (0.1, 0.3, 1.0) if solver == "sde" else (0.3, 1.0, 3.0):
        query_BD = z_q_BD if solver != "top_anchors" else z_q_BD[:1].expand(NUM_QUERIES, -1)
        z_BLD = solved(retrievers[kind], query_BD, solver, steering(temperature=temperature))
        groups = z_BLD if solver != "top_anchors" else z_BLD.transpose(0, 1).contiguous()
        scores.append(float(vendi_scores(groups.numpy()).mean()))
    assert scores[0] <= scores[1] < scores[2] - 0.1, scores
    assert solver == "top_anchors" or scores[0] < scores[1] - 0.1, scores


@pytest.mark.parametrize("kind", ["anchors", "free"])
def test_guidance_moves_a_set_towards_its_query(
    retrievers: dict[str, DiffusionRetriever], z_q_BD: Tensor, kind: str
) -> None:
    close = [
        float(torch.einsum("bld,bd->bl", solved(retrievers[kind], z_q_BD, "heun", None, guidance), z_q_BD).mean())
        for guidance in (0.0, 0.5, 2.0)
    ]
    assert close[0] + 0.01 < close[1] < close[2] - 0.01, close


def test_rows_and_logits_by_hand() -> None:
    """D = (0.6, 0.8), avoid (1, 0) at strength 0.5: (0.3, 0.8); like (0, 1) adds 0.5; a negative one adds nothing."""
    one = torch.ones(1)
    asked = Steering(
        temperature_B=one,
        strength_B=0.5 * one,
        like_BD=torch.tensor([[0.0, 1.0]]),
        avoid_BJD=torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]),
    )
    rows_BLD = torch.tensor([[[0.6, 0.8], [-0.6, 0.8]]])
    assert torch.allclose(asked.rows(rows_BLD), torch.tensor([[[0.3, 1.3], [-0.6, 1.3]]]))
    bias_BN = asked.anchor_bias(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    assert torch.allclose(bias_BN, PULL * 0.5 * torch.tensor([[-1.0, 1.0, 0.0]]))
