"""The most frequent items of the training references as directions, the same for every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions
from r4t_ray.evaluation.methods.soft_sets import training_members
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k most frequent items of the training references are the directions, the same for every query.

    Each direction retrieves its n nearest items.
    """
    directions_kD = bench.index.emb_MD[ranked_by_popularity(bench)[: bench.k]]
    return answers_of_directions(bench.index, [directions_kD], bench.n) * len(queries)


def ranked_by_popularity(bench: Bench) -> Rows:
    """Pool rows in descending order of the number of training references that contain them.

    Ties go to the lower row. Rows in no training reference are left out.
    """
    counts_M = training_members(bench).counts_M
    ranked = np.argsort(-counts_M, kind="stable")
    return ranked[counts_M[ranked] > 0]


POPULAR = Method(name="popular", answer=answer, tasks=("wscr",))
