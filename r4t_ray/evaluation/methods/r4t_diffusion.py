"""One answer of the diffusion retriever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.diffusion import SOLVERS, SolverName
from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.decoding import direction_answers
from r4t_ray.evaluation.method_answer import NO_ROW, Answer, nearest
from r4t_ray.retrieval.finding import select_directions
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.diffusion import DiffusionRetriever
    from r4t_ray.index import ShardedIndex


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """One answer of the diffusion retriever (diffusion/<task>).

    The solver generates L rows from the embedding of the query. Rows with the same nearest item count once. If the
    solver ranks its rows, the first k are the directions. Otherwise the most grounded and diverse k are the directions.
    In oar each direction retrieves its n nearest items. In wscr the item decoder gives the k*n items with the largest
    scores. Each direction lists the n best of the items that are nearest to it. The other items fill the directions
    that have room. Groundedness and alignment are computed on the generated embeddings.
    """
    return direction_answers(bench, query_emb_BD, directions(bench, queries, query_emb_BD, seed))


def directions(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Array]:
    """The k rows of every query that are kept, each of shape (k, D)."""
    z_BLD = generate(bench, queries, query_emb_BD, seed)
    return kept_rows(z_BLD, bench.index, bench.k, bench.solver or bench.retriever(RETRIEVER).sampler.solver)


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


def is_swept(bench: Bench) -> bool:
    """Whether the retriever has a weight of diversity."""
    sampler = bench.retriever(RETRIEVER).sampler
    return SOLVERS[sampler.solver].is_ranked and bool(sampler.diversity)


def answers_at(bench: Bench, query_emb_BD: Array, factor: float) -> list[Answer]:
    """Answers with a factor of the tuned weight of diversity, which is what ``temperature`` is in a request."""
    import torch

    from r4t_ray.diffusion.generation import generate as generate_with

    retriever = bench.retriever(RETRIEVER)
    sampler = retriever.sampler.model_copy(update={"diversity": factor * (retriever.sampler.diversity or 0.0)})
    z_BLD = generate_with(retriever, torch.as_tensor(query_emb_BD), sampler, num_rows=bench.k).numpy()
    return direction_answers(bench, query_emb_BD, kept_rows(z_BLD, bench.index, bench.k, sampler.solver))


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


def kept_rows(z_BLD: Array, index: ShardedIndex, k: int, solver: SolverName) -> list[Array]:
    """Search the nearest item of every generated row, then keep k rows of each query."""
    nearest_BL = nearest(index, z_BLD.reshape(-1, z_BLD.shape[-1]), 1).reshape(z_BLD.shape[:2])
    assert (nearest_BL != NO_ROW).all(), "a pool holds at least one item"
    cos_BL = np.einsum("bld,bld->bl", z_BLD, index.emb_MD[nearest_BL])
    return [
        z_LD[select_directions(z_LD, nearest_L, cos_L, k, solver)]
        for z_LD, nearest_L, cos_L in zip(z_BLD, nearest_BL, cos_BL, strict=True)
    ]


RETRIEVER: ModelFolder = "diffusion/<task>"
FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Factors of the weight of diversity that the precision-diversity plane draws."""
R4T_DIFFUSION = Method(name="r4t_diffusion", answer=answer, model=RETRIEVER, generate=generate)
