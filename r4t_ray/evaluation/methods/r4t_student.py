"""One answer of the diffusion retriever's one-step student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from r4t_ray.diffusion import STUDENT
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.methods.r4t_diffusion import R4TDiffusion


@dataclass(frozen=True)
class R4TStudent(R4TDiffusion):
    """As ``R4TDiffusion``, with the rows of one evaluation of the student (diffusion/<task>/student)."""

    name: ClassVar[str] = "r4t_student"

    @classmethod
    def build(cls, bench: Bench) -> R4TStudent:
        """From the pool and the task's student, whose solver is its own."""
        return cls(bench.index, bench.k, bench.n, bench.retriever(STUDENT), None, None, None)
