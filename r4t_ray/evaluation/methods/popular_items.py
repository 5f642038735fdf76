"""The most frequent items of the training references as one list, the same for every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, round_robin_answer
from r4t_ray.evaluation.methods.popular import ranked_by_popularity
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n most frequent items of the training references, as one list without a search.

    The answer is the same for every query. The items are distributed round-robin over k directions. The directions
    are the embeddings of the k most frequent items.
    """
    return [round_robin_answer(ranked_by_popularity(bench), bench.index.emb_MD, bench.k, bench.n)] * len(queries)


POPULAR_ITEMS = Method(name="popular_items", answer=answer, format="items", tasks=("wscr",))
