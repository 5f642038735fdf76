"""Generation of L directions for each query: sample noise, apply guidance and steering, run the solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from r4t_ray.diffusion.denoiser import Denoiser, QueryDenoiser
from r4t_ray.diffusion.samplers import SOLVERS, Denoise, SolverName, top_anchors
from r4t_ray.diffusion.schedule import sampling_sigmas
from r4t_ray.diffusion.settings import SamplerConfig
from r4t_ray.diffusion.transforms import Allowed, Guided, Perturbed, Steered, Steering
from r4t_ray.errors import ConfigError, RequestError


def sampler_with(
    sampler: SamplerConfig,
    *,
    solver: SolverName | None = None,
    num_steps: int | None = None,
    guidance: float | None = None,
) -> SamplerConfig:
    """The sampler's settings, each replaced by the argument of the same name unless that is None.

    Raises:
        ConfigError: An unknown solver, fewer than one step, or guidance below 0.
    """
    given = {"solver": solver, "num_steps": num_steps, "guidance": guidance}
    stated = {name: value for name, value in given.items() if value is not None}
    if not stated:
        return sampler
    values = sampler.model_dump() | stated
    try:
        return SamplerConfig.model_validate(values)
    except ValidationError:
        raise ConfigError(
            "sampler",
            f"solver {values['solver']!r} with {values['num_steps']} steps and guidance {values['guidance']}",
            f"one of {tuple(SOLVERS)}, 1 step or more, guidance of 0 or more",
            "correct the sampler settings",
        ) from None


@torch.no_grad()
def generate(
    denoiser: Denoiser,
    z_q_BD: Tensor,
    sampler: SamplerConfig,
    *,
    generator: torch.Generator | None = None,
    steering: Steering | None = None,
    num_rows: int = 0,
) -> Tensor:
    """Sample L directions for each query, with all randomness from one generator.

    Args:
        denoiser: In evaluation mode.
        z_q_BD: Unit query embeddings, float32, on the denoiser's device.
        sampler: Solver, steps, guidance and levels.
        generator: Source of all randomness, on the denoiser's device. Default: torch's global generator.
        steering: How each query's set is steered. Default: no steering.
        num_rows: If it exceeds L and the solver ``is_ranked``, there are so many rows; at most one per anchor.

    Returns:
        z_BLD, unit rows. A solver that ``is_ranked`` returns the best row first; the other solvers return the rows in
        no order.

    Raises:
        RequestError: z_q_BD is not (B, d) of the network's width.
        ConfigError: The solver needs anchors that the network does not have.
    """
    shape = denoiser.network.config
    _check_width(z_q_BD, shape.dim)
    noise_BLD = torch.randn(
        (len(z_q_BD), shape.num_rows, shape.dim), generator=generator, device=z_q_BD.device, dtype=z_q_BD.dtype
    )
    return solve(denoiser, noise_BLD, z_q_BD, sampler, generator=generator, steering=steering, num_rows=num_rows)


@torch.inference_mode()
def generate_each(
    denoiser: Denoiser,
    z_q_BD: Tensor,
    sampler: SamplerConfig,
    *,
    seeds: Sequence[int],
    steering: Steering | None = None,
    num_rows: int = 0,
    allowed_BN: Tensor | None = None,
) -> Tensor:
    """Sample L directions for each query, each query with its own seed.

    Set b equals ``generate`` for query b alone with a generator of ``seeds[b]``. They differ by rounding only, because
    the matrix products have another batch size. Most solvers use noise only at the start, so the B starts are sampled
    from B generators and solved in one batch. With a solver that ``is_stochastic`` the queries are solved one by one.

    Args:
        denoiser: In evaluation mode.
        z_q_BD: Unit query embeddings, float32, on the denoiser's device.
        sampler: Solver, steps, guidance and levels.
        seeds: One seed per query.
        steering: How each query's set is steered. Default: no steering.
        num_rows: As for ``generate``.
        allowed_BN: bool; the anchors of each query that a ranked solver takes before the others. Default: all.

    Returns:
        z_BLD, unit rows.

    Raises:
        RequestError: z_q_BD is not (B, d) of the network's width.
        ConfigError: The solver needs anchors that the network does not have.
    """
    shape = denoiser.network.config
    _check_width(z_q_BD, shape.dim)
    if not (SOLVERS[sampler.solver].starts_from_noise or steering):
        unused_BLD = z_q_BD.new_zeros(len(z_q_BD), shape.num_rows, shape.dim)
        return solve(denoiser, unused_BLD, z_q_BD, sampler, num_rows=num_rows, allowed_BN=allowed_BN)
    generators = [torch.Generator(device=z_q_BD.device).manual_seed(seed) for seed in seeds]
    rows_LD = (shape.num_rows, shape.dim)
    noise_BLD = torch.stack([torch.randn(rows_LD, generator=one, device=z_q_BD.device) for one in generators])
    if not SOLVERS[sampler.solver].is_stochastic:
        return solve(denoiser, noise_BLD, z_q_BD, sampler, steering=steering, num_rows=num_rows, allowed_BN=allowed_BN)
    alone = []
    for row, generator in enumerate(generators):
        only = slice(row, row + 1)
        own = steering.of(only) if steering else None
        z_1LD = solve(denoiser, noise_BLD[only], z_q_BD[only], sampler, generator=generator, steering=own)
        alone.append(z_1LD)
    return torch.cat(alone)


@torch.no_grad()
def solve(
    denoiser: Denoiser,
    noise_BLD: Tensor,
    z_q_BD: Tensor,
    sampler: SamplerConfig,
    *,
    generator: torch.Generator | None = None,
    steering: Steering | None = None,
    num_rows: int = 0,
    allowed_BN: Tensor | None = None,
) -> Tensor:
    """Run the solver from given noise.

    Args:
        denoiser: In evaluation mode.
        noise_BLD: Standard normal.
        z_q_BD: Unit query embeddings.
        sampler: Solver, steps, guidance and levels.
        generator: Source of the noise that a stochastic solver adds at each step.
        steering: How each query's set is steered. Default: no steering.
        num_rows: As for ``generate``.
        allowed_BN: As for ``generate_each``.

    Returns:
        z_BLD, unit rows.

    Raises:
        ConfigError: The solver needs anchors that the network does not have.
    """
    solver, noise = SOLVERS[sampler.solver], denoiser.noise
    queries = QueryDenoiser(denoiser, z_q_BD)
    denoise: Denoise = Guided(queries, sampler.guidance) if sampler.guidance and solver.is_guided else queries
    if steering:
        denoise = Steered(denoise, steering)
    if steering and not solver.starts_from_noise:
        denoise = Perturbed(denoise, steering, noise_BLD)
    if allowed_BN is not None:
        denoise = Allowed(denoise, allowed_BN)

    def draw() -> Tensor:
        fresh_BLD = torch.randn(noise_BLD.shape, generator=generator, device=noise_BLD.device, dtype=noise_BLD.dtype)
        return steering.tempered(fresh_BLD) if steering else fresh_BLD

    start_BLD = steering.tempered(noise_BLD) if steering else noise_BLD
    if num_rows > start_BLD.shape[1] and solver.is_ranked:
        start_BLD = start_BLD[:, :1].expand(-1, num_rows, -1)  # a ranked solver uses only its shape
    if not solver.is_stepwise:
        sigmas_S = torch.tensor([noise.sigma_max, 0.0], dtype=torch.float64)
        function = ranked(sampler, steering) if solver.is_ranked else solver.function
        return function(denoise, noise.sigma_max * start_BLD, sigmas_S, draw)
    sigmas_S = sampling_sigmas(sampler.levels, sampler.num_steps, noise)
    z_BLD = solver.function(denoise, float(sigmas_S[0]) * start_BLD, sigmas_S, draw)
    return functional.normalize(z_BLD, dim=-1)


def ranked(sampler: SamplerConfig, steering: Steering | None) -> Callable[..., Tensor]:
    """The solver ``top_anchors`` with the sampler's settings at the queries' temperatures."""
    weight = sampler.diversity or 0.0
    diversity = weight * steering.temperature_B[:, None] if steering and weight else weight
    candidates: float | Tensor | None = sampler.candidates
    if steering and candidates:
        candidates = candidates * steering.temperature_B[:, None].clamp_min(1)
    return partial(top_anchors, diversity=diversity, candidates=candidates)


def _check_width(z_q_BD: Tensor, dim: int) -> None:
    if z_q_BD.ndim != 2 or z_q_BD.shape[1] != dim:
        raise RequestError(
            "z_q", f"shape {tuple(z_q_BD.shape)}", f"(B, {dim})", "embed queries with the catalogue's encoder"
        )
