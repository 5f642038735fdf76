"""One answer of the diffusion retriever as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, nearest, round_robin_answer
from r4t_ray.evaluation.methods.r4t_diffusion import RETRIEVER
from r4t_ray.evaluation.methods.r4t_diffusion import answer as directions_answer
from r4t_ray.retrieval.compose import merge_directions
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n items with the highest cosine to any of r4t_diffusion's k directions, as one list.

    The items are distributed round-robin over k directions. The directions are the embeddings of the first k items.
    It generates as r4t_diffusion does, so its latency is not measured.
    """
    return [
        round_robin_answer(best_items(bench, one.directions_kD), bench.index.emb_MD, bench.k, bench.n)
        for one in directions_answer(bench, queries, query_emb_BD, seed)
    ]


def best_items(bench: Bench, directions_kD: Array) -> Rows:
    """The k*n pool rows with the highest cosine to any direction, best first. Ties go to the lower row."""
    budget = bench.k * bench.n
    rows_kK = nearest(bench.index, directions_kD, budget)
    scores_kK = np.einsum("kd,kKd->kK", directions_kD, bench.index.emb_MD[rows_kK])
    ranked = [row for row, _, _ in merge_directions(scores_kK, rows_kK)]
    return np.array(ranked[:budget], dtype=np.int64)


R4T_DIFFUSION_ITEMS = Method(name="r4t_diffusion_items", answer=answer, format="items", model=RETRIEVER)
