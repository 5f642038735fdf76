"""Sampling a batch of requests so that each answer depends on its own seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.diffusion.settings import SamplerConfig
from r4t_ray.diffusion.steering import Steering

NOISY_SOLVERS = frozenset({"sde"})
"""Solvers that draw noise at every step, from one generator for the whole batch."""


@torch.inference_mode()
def sample_each(
    retriever: DiffusionRetriever,
    z_q_BD: Tensor,
    seeds: Sequence[int],
    settings: SamplerConfig,
    steering: Steering | None = None,
) -> Tensor:
    """Directions for B queries; row b equals ``retriever.generate`` of query b alone with a generator of seed b.

    A solver takes all its noise at the start, so the B starts are drawn from B generators and solved in one batch; one
    in NOISY_SOLVERS samples the queries one by one.

    Args:
        retriever: In evaluation mode.
        z_q_BD: Unit query embeddings on the retriever's device.
        seeds: One a query.
        settings: Solver, steps, guidance and levels.
        steering: What the queries want beside themselves.

    Returns:
        z_BLD with unit rows.
    """
    generators = [torch.Generator(device=z_q_BD.device).manual_seed(seed) for seed in seeds]
    shape = (retriever.network.config.num_rows, retriever.network.config.dim)
    noise_BLD = torch.stack([torch.randn(shape, generator=one, device=z_q_BD.device) for one in generators])
    if settings.solver not in NOISY_SOLVERS:
        return retriever.solve(noise_BLD, z_q_BD, settings, None, steering)
    alone = []
    for row, generator in enumerate(generators):
        only = slice(row, row + 1)
        own = steering.of(only) if steering else None
        alone.append(retriever.solve(noise_BLD[only], z_q_BD[only], settings, generator, own))
    return torch.cat(alone)
