"""Stage 3 of R4T: a diffusion model that maps a query's embedding to a set of directions (arXiv 2603.06397, sec. 2.5).

It knows vectors only. The settings load at once; what needs torch or ray loads when it is first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from r4t_ray.diffusion.settings import (
    LABELS,
    RANKED_SOLVERS,
    STUDENT,
    UNGUIDED_SOLVERS,
    DiffusionConfig,
    NetworkConfig,
    NoiseConfig,
    OptimizerConfig,
    SamplerConfig,
    StudentConfig,
    answering,
)

if TYPE_CHECKING:
    from r4t_ray.diffusion.retriever import DiffusionRetriever
    from r4t_ray.diffusion.training import run

__all__ = [
    "LABELS",
    "RANKED_SOLVERS",
    "STUDENT",
    "UNGUIDED_SOLVERS",
    "DiffusionConfig",
    "DiffusionRetriever",
    "NetworkConfig",
    "NoiseConfig",
    "OptimizerConfig",
    "SamplerConfig",
    "StudentConfig",
    "answering",
    "run",
]

_HOMES = {"DiffusionRetriever": "retriever", "run": "training"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
