"""Contract of the samplers, on Gaussian data where the denoiser and the flow are known in closed form.

For data N(mu, s^2 I): D(z; sigma) = (s^2 z + sigma^2 mu) / (s^2 + sigma^2), and the probability flow carries
z - mu in proportion to sqrt(s^2 + sigma^2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from torch import Tensor

from r4t_ray.diffusion import SOLVERS, NoiseConfig, SolverName
from r4t_ray.diffusion.samplers.top_anchors import Near, diverse_picks, top_anchors
from r4t_ray.diffusion.schedule import sampling_sigmas

MEAN, STD = 0.3, 0.5
NOISE = NoiseConfig(sigma_min=1e-3, sigma_max=80.0, sigma_data=STD)
ORDERS = {"euler": 1, "heun": 2, "dpmpp_2m": 2}
STEPWISE = sorted(name for name, solver in SOLVERS.items() if solver.is_stepwise)


def gaussian_denoiser(z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
    variance_B = sigma_B[:, None, None] ** 2
    return (STD**2 * z_BLD + variance_B * MEAN) / (STD**2 + variance_B)


def start(batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return NOISE.sigma_max * torch.randn(batch, 10, 20, generator=torch.Generator().manual_seed(0), dtype=dtype)


def draws(seed: int, *shape: int) -> Callable[[], Tensor]:
    """The noise that an SDE solver adds."""
    source = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=source, dtype=torch.float64)


def flow(z_BLD: Tensor, sigma: float, sigma_next: float) -> Tensor:
    return MEAN + (z_BLD - MEAN) * math.sqrt((STD**2 + sigma_next**2) / (STD**2 + sigma**2))


class Anchored:
    """The Gaussian denoiser with 20 axes as anchors. Logits are z plus the anchor number.

    The logits of the shares are the anchor number. It records its calls.
    """

    anchors_ND = torch.eye(20, dtype=torch.float64)

    def __init__(self) -> None:
        self.seen: list[float] = []

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        assert sigma_B.shape == (2,)
        self.seen.append(float(sigma_B[0]))
        return gaussian_denoiser(z_BLD, sigma_B)

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        assert sigma_B.shape == (2,)
        self.seen.append(float(sigma_B[0]))
        return z_BLD + torch.arange(20)

    def prior_logits(self) -> Tensor:
        self.seen.append(NOISE.sigma_max)
        return torch.arange(20.0, dtype=torch.float64).expand(2, 20)

    def nearness(self) -> Tensor:
        """The lower its number, the nearer the anchor."""
        return -torch.arange(20.0, dtype=torch.float64).expand(2, 20)


def run(solver: str, num_steps: int = 6, start_seed: int = 0, draw_seed: int = 0) -> tuple[Tensor, list[float]]:
    """The rows of two queries, and the noise levels at which the denoiser was called."""
    denoise, source = Anchored(), torch.Generator().manual_seed(start_seed)
    start_BLD = NOISE.sigma_max * torch.randn(2, 10, 20, generator=source, dtype=torch.float64)
    sigmas_S = sampling_sigmas("karras", num_steps, NOISE)
    rows_BLD = SOLVERS[solver].function(denoise, start_BLD, sigmas_S, draws(draw_seed, 2, 10, 20))
    return rows_BLD, denoise.seen


def test_every_named_solver_has_a_record() -> None:
    assert set(SOLVERS) == set(get_args(SolverName))


@pytest.mark.parametrize("solver", STEPWISE)
def test_moments_match_gaussian_data(solver: str) -> None:
    z_BLD = SOLVERS[solver].function(
        gaussian_denoiser, start(500), sampling_sigmas("karras", 512, NOISE), draws(1, 500, 10, 20)
    )
    # With 100,000 samples the standard error of the mean is 0.0016, of the standard deviation 0.0011.
    assert float(z_BLD.mean()) == pytest.approx(MEAN, abs=0.006)
    assert float(z_BLD.std()) == pytest.approx(STD, abs=0.01)


@pytest.mark.parametrize("solver", STEPWISE)
def test_clusters_of_a_mixture_get_their_shares(solver: str) -> None:
    """Rows of a mixture of sum_m w_m N(c_m, s^2 I): each cluster gets the share of its weight."""
    weights_M = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    centers_MD = 2.0 * torch.eye(3, 20, dtype=torch.float64)
    std = 0.2

    def denoise(z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        variance_B = sigma_B[:, None, None] ** 2
        square_BLM = (z_BLD[:, :, None] - centers_MD).square().sum(-1)
        posterior_BLM = (weights_M.log() - square_BLM / (2 * (std**2 + variance_B))).softmax(-1)
        return (std**2 * z_BLD + variance_B * (posterior_BLM @ centers_MD)) / (std**2 + variance_B)

    z_BLD = SOLVERS[solver].function(
        denoise, start(1000), sampling_sigmas("karras", 256, NOISE), draws(1, 1000, 10, 20)
    )
    rows_ND = z_BLD.reshape(-1, 20)
    owner_N = torch.cdist(rows_ND, centers_MD).argmin(-1)
    # With 10,000 rows the standard error of a share is at most 0.005.
    assert torch.allclose(torch.bincount(owner_N, minlength=3) / len(rows_ND), weights_M.float(), atol=0.02)
    for m in range(3):
        own_ND = rows_ND[owner_N == m]
        assert torch.allclose(own_ND.mean(0), centers_MD[m], atol=0.03)
        assert float((own_ND - centers_MD[m]).std()) == pytest.approx(std, abs=0.01)


@pytest.mark.parametrize("solver", STEPWISE)
def test_reaches_a_single_point_exactly(solver: str) -> None:
    point = torch.linspace(-1, 1, 200, dtype=torch.float64).reshape(1, 10, 20)
    z_BLD = SOLVERS[solver].function(
        lambda z_BLD, sigma_B: point.expand_as(z_BLD),
        start(3),
        sampling_sigmas("karras", 5, NOISE),
        draws(0, 3, 10, 20),
    )
    assert float((z_BLD - point).abs().max()) < 1e-12


@pytest.mark.parametrize("solver", sorted(ORDERS))
def test_converges_to_the_probability_flow_at_its_order(solver: str) -> None:
    """Halving the step between sigma 5 and 0.05 divides the error against the closed form by 2^order."""
    z_BLD = start(2) / NOISE.sigma_max * 5
    exact_BLD = flow(z_BLD, 5.0, 0.05)
    counts = [40, 80, 160, 320]
    errors = []
    for count in counts:
        sigmas_S = torch.logspace(math.log10(5), math.log10(0.05), count + 1, dtype=torch.float64)
        errors.append(
            float((SOLVERS[solver].function(gaussian_denoiser, z_BLD, sigmas_S, draws(0)) - exact_BLD).abs().max())
        )
    slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert slopes[-1] == pytest.approx(ORDERS[solver], abs=0.15)
    assert errors[-1] < 0.02


def test_sde_keeps_the_marginal_in_the_middle() -> None:
    """Stopped at sigma = 1, samples have variance s^2 + 1 around mu."""
    sigmas_S = sampling_sigmas("karras", 512, NoiseConfig(sigma_min=1.0, sigma_max=80.0))[:-1]
    z_BLD = SOLVERS["sde"].function(gaussian_denoiser, start(500), sigmas_S, draws(2, 500, 10, 20))
    assert float(z_BLD.std()) == pytest.approx(math.sqrt(STD**2 + 1), abs=0.02)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_a_solver_is_stochastic_as_its_record_says_and_repeats_with_the_same_noise(solver: str) -> None:
    runs = [run(solver, draw_seed=seed)[0] for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2]) != SOLVERS[solver].is_stochastic
    assert SOLVERS[solver].is_stochastic == (solver == "sde")


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_rows_depend_on_the_starting_noise_as_the_record_says(solver: str) -> None:
    first, second = (run(solver, start_seed=seed)[0] for seed in (0, 1))
    assert torch.equal(first, second) != SOLVERS[solver].starts_from_noise


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("num_steps", [1, 2, 6])
def test_evaluations_equal_the_record(solver: str, num_steps: int) -> None:
    _, seen = run(solver, num_steps=num_steps)
    assert len(seen) == SOLVERS[solver].evaluations(num_steps)
    assert min(seen) > 0


def test_ranked_rows_come_best_first() -> None:
    """If the logits rise with the anchor number, the last anchors come back, the last one first."""
    assert [name for name, solver in SOLVERS.items() if solver.is_ranked] == ["top_anchors"]
    rows_BLD, _ = run("top_anchors")
    assert torch.equal(rows_BLD, torch.eye(20)[[19, 18, 17, 16, 15, 14, 13, 12, 11, 10]].double().expand(2, 10, 20))


def test_picks_raise_logits_plus_diversity_times_ln_det_of_the_cosines() -> None:
    torch.manual_seed(0)
    anchors_ND = torch.nn.functional.normalize(torch.randn(12, 6, dtype=torch.float64) + 0.8, dim=-1)
    logits_BN = 2 * torch.randn(3, 12, dtype=torch.float64)
    found_BR = diverse_picks(logits_BN, anchors_ND, 5, 1.5)
    for logits_N, found_R in zip(logits_BN, found_BR.tolist(), strict=True):
        picks: list[int] = []
        while len(picks) < 5:  # brute force, one determinant for each candidate
            left = [n for n in range(12) if n not in picks]
            kernels = [anchors_ND[[*picks, n]] @ anchors_ND[[*picks, n]].T for n in left]
            values = [float(logits_N[n] + 1.5 * torch.logdet(kernel)) for n, kernel in zip(left, kernels, strict=True)]
            picks.append(left[int(np.argmax(values))])
        assert found_R == picks
    assert diverse_picks(logits_BN, anchors_ND, 3, 1.5).tolist() == found_BR[:, :3].tolist()
    assert found_BR.tolist() != diverse_picks(logits_BN, anchors_ND, 5, 0.0).tolist()


def test_picks_come_from_the_anchors_nearest_to_the_query() -> None:
    """The logits rise with the number of the anchor, and the nearness falls with it."""
    denoise = Anchored()
    start_BLD, sigmas_S = torch.zeros(2, 4, 20, dtype=torch.float64), torch.tensor([1.0, 0.0])

    def picked(candidates: float | Tensor) -> list[list[int]]:
        rows_BLD = top_anchors(denoise, start_BLD, sigmas_S, candidates=candidates)
        return [row_LD.argmax(dim=1).tolist() for row_LD in rows_BLD]

    assert picked(6) == [[5, 4, 3, 7]] * 2  # the fourth pick is among the 8 nearest
    assert picked(1) == [[1, 3, 5, 7]] * 2
    assert picked(100) == [[19, 18, 17, 16]] * 2
    assert picked(torch.tensor([[6.0], [20.0]])) == [[5, 4, 3, 7], [19, 18, 17, 16]]


def test_the_first_picks_do_not_depend_on_how_many_are_picked() -> None:
    torch.manual_seed(0)
    anchors_ND = torch.nn.functional.normalize(torch.randn(600, 6), dim=-1)
    logits_BN, near = torch.randn(3, 600), Near(torch.randn(3, 600), 20)
    picks_BR = diverse_picks(logits_BN, anchors_ND, 200, 0.5, near)
    assert picks_BR.sort(dim=1).values.diff(dim=1).min() > 0
    assert picks_BR[:, :7].tolist() == diverse_picks(logits_BN, anchors_ND, 7, 0.5, near).tolist()
    nearest_BN = near.nearness_BN.argsort(dim=1, descending=True).argsort(dim=1)
    assert nearest_BN.gather(1, picks_BR[:, :10]).max() < 20


def test_a_near_duplicate_waits_and_picks_may_outnumber_the_dimensions() -> None:
    anchors_ND = torch.tensor([[1.0, 0.0], [1.0, 1e-4], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    logits_BN = torch.tensor([[3.0, 2.9, 0.0, 0.5]], dtype=torch.float64)
    assert diverse_picks(logits_BN, anchors_ND, 4, 0.0).tolist() == [[0, 1, 3, 2]]
    assert diverse_picks(logits_BN, anchors_ND, 4, 2.0).tolist() == [[0, 2, 1, 3]]


@pytest.mark.parametrize("solver", ["one_step", "top_anchors"])
def test_solvers_of_one_evaluation_return_unit_rows_and_take_no_guidance(solver: str) -> None:
    rows_BLD, _ = run(solver)
    assert torch.allclose(rows_BLD.norm(dim=-1), torch.ones(2, 10, dtype=torch.float64))
    assert not SOLVERS[solver].is_guided


@pytest.mark.parametrize(("solver", "calls"), [("euler", 6), ("heun", 11), ("dpmpp_2m", 6), ("sde", 6)])
def test_calls_of_the_denoiser(solver: str, calls: int) -> None:
    _, seen = run(solver, num_steps=6)
    assert len(seen) == calls
    assert min(seen) > 0


@pytest.mark.parametrize(
    ("solver", "scheduler", "options"),
    [
        ("euler", EDMEulerScheduler, {}),
        ("dpmpp_2m", EDMDPMSolverMultistepScheduler, {"euler_at_final": False, "lower_order_final": True}),
    ],
)
def test_path_equals_diffusers(solver: str, scheduler: type, options: dict[str, bool]) -> None:
    """A non-linear denoiser, stepped by diffusers with its own preconditioning undone."""

    def denoise(z: Tensor, sigma_B: Tensor) -> Tensor:
        return torch.tanh(z / (1 + sigma_B[0]))

    reference = scheduler(sigma_min=1e-3, sigma_max=80.0, sigma_data=STD, **options)
    reference.set_timesteps(20)
    z_BLD = theirs = start(1)
    for index, timestep in enumerate(reference.timesteps):
        sigma = reference.sigmas[index].double()
        skip = STD**2 / (sigma**2 + STD**2)
        out = sigma * STD / (sigma**2 + STD**2).sqrt()
        output = (denoise(theirs, sigma[None]) - skip * theirs) / out
        theirs = reference.step(output, timestep, theirs).prev_sample
    ours = SOLVERS[solver].function(denoise, z_BLD, reference.sigmas.double(), draws(0))
    assert float((ours - theirs).abs().max()) < 1e-4
