"""Solvers of the reverse process: one function per file, and one record per solver in ``SOLVERS``.

``solver.Solver`` documents the arguments of a function and the fields of a record.
"""

from __future__ import annotations

from r4t_ray.diffusion.samplers.dpmpp_2m import dpmpp_2m
from r4t_ray.diffusion.samplers.euler import euler
from r4t_ray.diffusion.samplers.heun import heun
from r4t_ray.diffusion.samplers.one_step import one_step
from r4t_ray.diffusion.samplers.sde import sde
from r4t_ray.diffusion.samplers.solver import Denoise, Solver, SolverName
from r4t_ray.diffusion.samplers.top_anchors import top_anchors

SOLVERS: dict[SolverName, Solver] = {
    "euler": Solver(function=euler, evaluations=lambda num_steps: num_steps),
    "heun": Solver(function=heun, evaluations=lambda num_steps: 2 * num_steps - 1),
    "dpmpp_2m": Solver(function=dpmpp_2m, evaluations=lambda num_steps: num_steps),
    "sde": Solver(function=sde, evaluations=lambda num_steps: num_steps, is_stochastic=True),
    "one_step": Solver(function=one_step, evaluations=lambda num_steps: 1, is_stepwise=False, is_guided=False),
    "top_anchors": Solver(
        function=top_anchors,
        evaluations=lambda num_steps: 1,
        is_stepwise=False,
        is_guided=False,
        is_ranked=True,
        starts_from_noise=False,
    ),
}

__all__ = [
    "SOLVERS",
    "Denoise",
    "Solver",
    "SolverName",
    "dpmpp_2m",
    "euler",
    "heun",
    "one_step",
    "sde",
    "top_anchors",
]
