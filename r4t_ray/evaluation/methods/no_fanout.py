"""The nearest items of the query, without a fan-out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, nearest, round_robin
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n nearest items of the query.

    All k directions are the embedding of the query. Direction i gets ranks i, i+k, i+2k, ..., so the top items of the
    directions are the k nearest items.
    """
    ranked_BK = nearest(bench.index, query_emb_BD, bench.k * bench.n)
    return [
        Answer(directions_kD=np.repeat(z_q_D[None], bench.k, axis=0), hits_kn=round_robin(ranked_K, bench.k, bench.n))
        for z_q_D, ranked_K in zip(query_emb_BD, ranked_BK, strict=True)
    ]


NO_FANOUT = Method(name="no_fanout", answer=answer)
