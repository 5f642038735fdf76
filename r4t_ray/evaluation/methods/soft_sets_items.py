"""The items with the most votes of all training sets as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, round_robin_answer
from r4t_ray.evaluation.methods.soft_sets import TEMPERATURES, training_members, votes
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k*n items with the most votes, as one list without a search. The votes are the same as in soft_sets.

    The temperature is tuned for this format. The items are distributed round-robin over k directions. The directions
    are the embeddings of the first k items. Items of no training set are left out. In OAR the training sets are the
    relevant sets of each training query of the log.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, SOFT_SETS_ITEMS.name, TEMPERATURES, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, temperature: float) -> list[Answer]:
    """The answers with one temperature."""
    return [ranked_answer(bench, votes(bench, z_q_D, temperature)) for z_q_D in query_emb_BD]


def ranked_answer(bench: Bench, scores_M: NDArray[np.float64]) -> Answer:
    """The k*n items with the highest scores as one list. Items of no training set are left out; ties go by row."""
    seen = np.flatnonzero(training_members(bench).counts_M)
    ranked_rows = seen[np.argsort(-scores_M[seen], kind="stable")]
    return round_robin_answer(ranked_rows, bench.index.emb_MD, bench.k, bench.n)


SOFT_SETS_ITEMS = Method(name="soft_sets_items", answer=answer, format="items", needs_references=True)
