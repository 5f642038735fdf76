"""What the methods of one task are built from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from r4t_ray.diffusion import SamplerConfig, SolverName
from r4t_ray.evaluation.answers import Index
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Array, Rows, Task

FanOut = tuple[str, ...]
"""The sub-queries of one fan-out."""

PolicyName = Literal["warm_start", "model"]
"""Folder of folm/: the zero-shot policy and the trained one."""

RetrieverName = Literal["", "student"]
"""Folder below diffusion/<task>/: the retriever itself and its one-step student."""


class Policy(Protocol):
    """The part of ``folm.FanOutModel`` that evaluation uses."""

    def fan_out(
        self, task: Task, queries: Sequence[str], k: int, *, num_samples: int, temperature: float, seed: int
    ) -> list[list[FanOut | None]]:
        """Queries x samples; None is an output that could not be parsed."""
        ...


class Retriever(Protocol):
    """The part of ``diffusion.DiffusionRetriever`` that evaluation uses."""

    @property
    def sampler(self) -> SamplerConfig:
        """The trained defaults of ``generate``."""
        ...

    def generate(
        self,
        z_q_BD: Any,
        *,
        num_steps: int | None = None,
        solver: Any = None,
        guidance: float | None = None,
        generator: Any = None,
    ) -> Any:
        """Unit rows z_BLD for the query embeddings, as torch tensors."""
        ...


@dataclass(frozen=True)
class Bench:
    """One task's pool, training references and models, with the budget that every method has.

    ``encode``, ``policy`` and ``retriever`` are called by the methods that need them, so that a table without an LM
    row loads no engine.
    """

    task: Task
    index: Index
    k: int
    n: int
    train_emb_BD: Array
    train_references: Sequence[Rows]
    reward: OARConfig
    num_candidates: int
    mmr_lambda: float
    temperature: float
    solver: SolverName | None
    num_steps: int | None
    guidance: float | None
    encode: Callable[[Sequence[str]], Array]
    policy: Callable[[PolicyName], Policy]
    retriever: Callable[[RetrieverName], Retriever]
