"""The nearest items of the query, re-ranked by maximal marginal relevance, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, picked_rows, round_robin_answer
from r4t_ray.evaluation.methods.mmr import LAMBDAS
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.retrieval.similarity import mmr_picks
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """As mmr, except that maximal marginal relevance picks k*n items, which are one list.

    Lambda is tuned for this format. The items are distributed round-robin over k directions. The directions are the
    embeddings of the first k items.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, MMR_ITEMS.name, LAMBDAS, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, mmr_lambda: float) -> list[Answer]:
    """The answers with one value of lambda."""
    pick = partial(mmr_picks, num_picks=bench.k * bench.n, mmr_lambda=mmr_lambda)
    picked = picked_rows(bench.index, query_emb_BD, bench.num_candidates, pick)
    return [round_robin_answer(rows, bench.index.emb_MD, bench.k, bench.n) for rows in picked]


MMR_ITEMS = Method(name="mmr_items", answer=answer, format="items")
