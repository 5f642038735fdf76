"""Items of the nearest training queries' reference sets as directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions
from r4t_ray.evaluation.methods.soft_sets import training_members
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

NUM_NEIGHBOURS = 20


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k best items of the 20 nearest training queries' reference sets are the directions.

    Each direction retrieves its n nearest items. Each of the 20 training queries adds its cosine to the score of every
    item in its set. Negative cosines count as 0. Popularity breaks ties and fills a list that is too short.
    """
    directions = [bench.index.emb_MD[ranked_rows[: bench.k]] for ranked_rows in ranked_by_sets(bench, query_emb_BD)]
    return answers_of_directions(bench.index, directions, bench.n)


def ranked_by_sets(bench: Bench, query_emb_BD: Array) -> list[Rows]:
    """``rank_by_neighbours`` for every query."""
    counts_M = training_members(bench).counts_M
    return [rank_by_neighbours(z_q_D, bench.train_emb_BD, bench.train_references, counts_M) for z_q_D in query_emb_BD]


def rank_by_neighbours(
    query_emb_D: Array,
    train_emb_BD: Array,
    references: Sequence[Rows],
    counts_M: Rows,
    num_neighbours: int = NUM_NEIGHBOURS,
) -> Rows:
    """Pool rows by descending score, then popularity, then row. Rows with score 0 and popularity 0 are left out."""
    scores_M = neighbour_scores(query_emb_D, train_emb_BD, references, len(counts_M), num_neighbours)
    ranked = np.lexsort((np.arange(len(counts_M)), -counts_M, -scores_M))
    return ranked[(scores_M[ranked] > 0) | (counts_M[ranked] > 0)].astype(np.int64)


def neighbour_scores(
    query_emb_D: Array,
    train_emb_BD: Array,
    references: Sequence[Rows],
    pool_size: int,
    num_neighbours: int = NUM_NEIGHBOURS,
) -> NDArray[np.float64]:
    """Score of each pool row, shape (pool_size,).

    The score is the sum of the cosines between the query and the nearest training queries whose set contains the row.
    Negative cosines count as 0.
    """
    cosines_B = train_emb_BD @ query_emb_D
    scores_M = np.zeros(pool_size, dtype=np.float64)
    for neighbour in np.argsort(-cosines_B, kind="stable")[:num_neighbours]:
        scores_M[np.unique(references[neighbour])] += max(float(cosines_B[neighbour]), 0.0)
    return scores_M


NEAREST_SETS = Method(name="nearest_sets", answer=answer, tasks=("wscr",))
