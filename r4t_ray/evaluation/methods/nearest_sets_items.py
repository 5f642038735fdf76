"""Items of the nearest training queries' reference sets as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, round_robin_answer
from r4t_ray.evaluation.methods.nearest_sets import ranked_by_sets
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n best items by the score of nearest_sets, as one list without a search.

    The items are distributed round-robin over k directions. The directions are the embeddings of the first k items.
    """
    return [
        round_robin_answer(ranked_rows, bench.index.emb_MD, bench.k, bench.n)
        for ranked_rows in ranked_by_sets(bench, query_emb_BD)
    ]


NEAREST_SETS_ITEMS = Method(name="nearest_sets_items", answer=answer, format="items", tasks=("wscr",))
