"""The items of the nearest training queries' sets as directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.answers import Answer, Index, Query, answers_of_directions
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.methods.popular import reference_counts
from r4t_ray.types import Array, Rows, Task

NUM_NEIGHBOURS = 20


@dataclass(frozen=True)
class NearestSets:
    """The k best items of the 20 nearest training queries' reference sets as directions, each with its n nearest items.

    An item scores the sum of the cosines of the training queries whose set holds it (negative cosines count 0); ties
    and shortage are filled by popularity.
    """

    index: Index
    k: int
    n: int
    train_emb_BD: Array
    train_references: Sequence[Rows]

    name: ClassVar[str] = "nearest_sets"
    tasks: ClassVar[tuple[Task, ...]] = ("wscr",)

    @classmethod
    def build(cls, bench: Bench) -> NearestSets:
        """From the pool and the training queries."""
        return cls(bench.index, bench.k, bench.n, bench.train_emb_BD, bench.train_references)

    def fan_out(self, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """Answer every query; the seed is not used."""
        counts_M = reference_counts(self.train_references, len(self.index.emb_MD))
        ranked = [
            rank_by_neighbours(z_q_D, self.train_emb_BD, self.train_references, counts_M) for z_q_D in query_emb_BD
        ]
        return self._answers(ranked)

    def _answers(self, ranked: Sequence[Rows]) -> list[Answer]:
        directions = [self.index.emb_MD[ranked_rows[: self.k]] for ranked_rows in ranked]
        return answers_of_directions(self.index, directions, self.n)


def rank_by_neighbours(
    query_emb_D: Array,
    train_emb_BD: Array,
    references: Sequence[Rows],
    counts_M: Rows,
    num_neighbours: int = NUM_NEIGHBOURS,
) -> Rows:
    """Pool rows by descending score, then popularity, then row; rows with neither score nor popularity are left out."""
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
    """For each pool row, the summed cosines (negative ones 0) of the nearest training queries whose set holds it."""
    cosines_B = train_emb_BD @ query_emb_D
    scores_M = np.zeros(pool_size, dtype=np.float64)
    for neighbour in np.argsort(-cosines_B, kind="stable")[:num_neighbours]:
        scores_M[np.unique(references[neighbour])] += max(float(cosines_B[neighbour]), 0.0)
    return scores_M
