"""One answer of the diffusion retriever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from r4t_ray.diffusion import SolverName
from r4t_ray.evaluation.answers import NO_ROW, Answer, Index, Query, nearest
from r4t_ray.evaluation.bench import Bench, Retriever
from r4t_ray.retrieval.answer import select_directions
from r4t_ray.types import TASKS, Array, Rows, Task


@dataclass(frozen=True)
class R4TDiffusion:
    """One answer of the diffusion retriever (diffusion/<task>): L rows from z_q by its solver, of which k are kept.

    Rows with the same nearest item count once; those kept are the most grounded and diverse, or the first of a solver
    that ranks them. Each brings its n nearest items. Groundedness and alignment are of the generated embeddings
    themselves.
    """

    index: Index
    k: int
    n: int
    retriever: Retriever
    solver: SolverName | None
    num_steps: int | None
    guidance: float | None

    name: ClassVar[str] = "r4t_diffusion"
    tasks: ClassVar[tuple[Task, ...]] = TASKS

    @classmethod
    def build(cls, bench: Bench) -> R4TDiffusion:
        """From the pool and the task's retriever."""
        return cls(bench.index, bench.k, bench.n, bench.retriever(""), bench.solver, bench.num_steps, bench.guidance)

    def generate(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> Array:
        """The L generated rows of every query, z_BLD."""
        import torch

        z_BLD = self.retriever.generate(
            torch.as_tensor(np.ascontiguousarray(query_emb_BD)),
            num_steps=self.num_steps,
            solver=self.solver,
            guidance=self.guidance,
            generator=torch.Generator().manual_seed(seed),
        )
        return np.asarray(z_BLD.detach().cpu().numpy(), dtype=np.float32)

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Generate, search every row, keep k rows with their items."""
        return self.answers(self.generate(queries, query_emb_BD, seed))

    def answers(self, z_BLD: Array) -> list[Answer]:
        """What the generated rows of each query bring: search every row, keep k rows with their items."""
        hits = nearest(self.index, z_BLD.reshape(-1, z_BLD.shape[-1]), self.n)
        return [
            self._keep(z_LD, hits_Ln)
            for z_LD, hits_Ln in zip(z_BLD, hits.reshape(*z_BLD.shape[:2], self.n), strict=True)
        ]

    def _keep(self, z_LD: Array, hits_Ln: Rows) -> Answer:
        nearest_L = hits_Ln[:, 0]
        assert (nearest_L != NO_ROW).all(), "a pool holds at least one item"
        cos_L = np.einsum("ld,ld->l", z_LD, self.index.emb_MD[nearest_L])
        solver = self.solver or self.retriever.sampler.solver
        kept = select_directions(z_LD, nearest_L, cos_L, self.k, solver)
        return Answer(z_LD[kept], hits_Ln[kept])
