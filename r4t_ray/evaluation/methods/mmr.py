"""The nearest items of the query, re-ranked by maximal marginal relevance (MMR; Carbonell and Goldstein, 1998)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, picked_rows
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.retrieval.similarity import mmr_picks
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

LAMBDAS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """Maximal marginal relevance picks k of the query's nearest items by relevance and novelty.

    Their embeddings are the directions. Each direction retrieves its n nearest items. The weight of relevance, lambda,
    is tuned on validation queries. At lambda 1 the picks are the k nearest items.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, MMR.name, LAMBDAS, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, mmr_lambda: float) -> list[Answer]:
    """The answers with one value of lambda."""
    pick = partial(mmr_picks, num_picks=bench.k, mmr_lambda=mmr_lambda)
    picked = picked_rows(bench.index, query_emb_BD, bench.num_candidates, pick)
    return answers_of_directions(bench.index, [bench.index.emb_MD[rows] for rows in picked], bench.n)


MMR = Method(name="mmr", answer=answer)
