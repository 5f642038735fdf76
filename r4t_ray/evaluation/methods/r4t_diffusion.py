"""One answer of the diffusion retriever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.diffusion import SolverName
from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.method_answer import NO_ROW, Answer, nearest
from r4t_ray.retrieval.compose import select_directions
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.diffusion import DiffusionRetriever
    from r4t_ray.index import ShardedIndex


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """One answer of the diffusion retriever (diffusion/<task>).

    The solver generates L rows from the embedding of the query. Rows with the same nearest item count once. If the
    solver ranks its rows, the first k are the directions. Otherwise the most grounded and diverse k are the directions.
    Each direction retrieves its n nearest items. Groundedness and alignment are computed on the generated embeddings.
    """
    z_BLD = generate(bench, queries, query_emb_BD, seed)
    solver = bench.solver or bench.retriever(RETRIEVER).sampler.solver
    return answers_of_rows(z_BLD, bench.index, bench.k, bench.n, solver=solver)


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> Array:
    """The generated rows of every query: L, or k if k is larger and the solver ranks its rows. Shape (B, L, D)."""
    return generate_rows(
        bench.retriever(RETRIEVER),
        query_emb_BD,
        seed,
        solver=bench.solver,
        num_steps=bench.num_steps,
        guidance=bench.guidance,
        num_rows=bench.k,
    )


def generate_rows(
    retriever: DiffusionRetriever,
    query_emb_BD: Array,
    seed: int,
    *,
    solver: SolverName | None = None,
    num_steps: int | None = None,
    guidance: float | None = None,
    num_rows: int = 0,
) -> Array:
    """The generated rows of every query, shape (B, L, D). A setting that is None takes the stored value.

    If the solver ranks its rows and ``num_rows`` exceeds L, there are ``num_rows`` of them.
    """
    import torch

    z_BLD = retriever.generate(
        torch.as_tensor(np.ascontiguousarray(query_emb_BD)),
        num_steps=num_steps,
        solver=solver,
        guidance=guidance,
        generator=torch.Generator().manual_seed(seed),
        num_rows=num_rows,
    )
    return np.asarray(z_BLD.detach().cpu().numpy(), dtype=np.float32)


def answers_of_rows(z_BLD: Array, index: ShardedIndex, k: int, n: int, *, solver: SolverName) -> list[Answer]:
    """Search every generated row, then keep k rows of each query with n items each."""
    hits = nearest(index, z_BLD.reshape(-1, z_BLD.shape[-1]), n)
    return [
        keep_rows(z_LD, hits_Ln, index.emb_MD, k, solver)
        for z_LD, hits_Ln in zip(z_BLD, hits.reshape(*z_BLD.shape[:2], n), strict=True)
    ]


def keep_rows(z_LD: Array, hits_Ln: Rows, item_emb_MD: Array, k: int, solver: SolverName) -> Answer:
    """The answer of one query: k of its L rows, with their items."""
    nearest_L = hits_Ln[:, 0]
    assert (nearest_L != NO_ROW).all(), "a pool holds at least one item"
    cos_L = np.einsum("ld,ld->l", z_LD, item_emb_MD[nearest_L])
    kept = select_directions(z_LD, nearest_L, cos_L, k, solver)
    return Answer(directions_kD=z_LD[kept], hits_kn=hits_Ln[kept])


RETRIEVER: ModelFolder = "diffusion/<task>"
R4T_DIFFUSION = Method(name="r4t_diffusion", answer=answer, model=RETRIEVER, generate=generate)
