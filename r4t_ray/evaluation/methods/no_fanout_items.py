"""The nearest items of the query as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import NO_ROW, Answer, nearest, round_robin_answer
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n nearest items of the query, as one list.

    The items are distributed round-robin over k directions. The directions are the embeddings of the first k items.
    """
    return [
        round_robin_answer(ranked_K[ranked_K != NO_ROW], bench.index.emb_MD, bench.k, bench.n)
        for ranked_K in nearest(bench.index, query_emb_BD, bench.k * bench.n)
    ]


NO_FANOUT_ITEMS = Method(name="no_fanout_items", answer=answer, format="items")
