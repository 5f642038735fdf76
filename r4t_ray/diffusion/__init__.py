"""Stage 3 of R4T: a diffusion model that maps a query's embedding to a set of directions (arXiv 2603.06397, sec. 2.5).

It knows vectors only. The settings load at once; names that need torch or ray load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from r4t_ray.diffusion.folders import LABELS, PROGRAM, STUDENT, serving_folder
from r4t_ray.diffusion.samplers import SOLVERS, Solver, SolverName
from r4t_ray.diffusion.settings import (
    DiffusionConfig,
    NetworkConfig,
    NoiseConfig,
    OptimizerConfig,
    SamplerConfig,
    StudentConfig,
    most_directions,
)

if TYPE_CHECKING:
    from r4t_ray.diffusion.hub import DiffusionRetriever
    from r4t_ray.diffusion.training.stage import run

__all__ = [
    "LABELS",
    "PROGRAM",
    "SOLVERS",
    "STUDENT",
    "DiffusionConfig",
    "DiffusionRetriever",
    "NetworkConfig",
    "NoiseConfig",
    "OptimizerConfig",
    "SamplerConfig",
    "Solver",
    "SolverName",
    "StudentConfig",
    "most_directions",
    "run",
    "serving_folder",
]

_MODULES = {"DiffusionRetriever": "hub", "run": "training.stage"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
