"""Votes of all training sets, spread by item-item weights (EASE, arXiv 1905.03375), as one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.soft_sets import TEMPERATURES, Members, training_members, votes
from r4t_ray.evaluation.methods.soft_sets_items import SOFT_SETS_ITEMS, ranked_answer
from r4t_ray.evaluation.methods.soft_sets_items import answers_at as soft_answers_at
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

MAX_ITEMS = 2000
"""Items with item-item weights. The eigenvectors of their N x N matrix are computed once, in some seconds."""

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The votes of soft_sets_items plus what EASE predicts from them: the scores are x + x B.

    The row x holds the votes. EASE fits the item-item weights B to the training sets in closed form, so that each set
    is predicted from its own items and no item predicts itself. Its penalty is tuned on validation queries, as a
    multiple of the mean number of sets per item. Only the 2000 most frequent items have weights; the other items keep
    their votes. The k*n items with the highest scores are one list without a search.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, EASE_ITEMS.name, STRENGTHS, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, strength: float) -> list[Answer]:
    """The answers with one strength of the penalty."""
    temperature = tuned(bench, SOFT_SETS_ITEMS.name, TEMPERATURES, soft_answers_at)
    ease = bench.fits.get("ease", lambda: fit_ease(training_members(bench), len(bench.train_references), MAX_ITEMS))
    scores_BM = ease.spread([votes(bench, z_q_D, temperature) for z_q_D in query_emb_BD], strength)
    return [ranked_answer(bench, scores_M) for scores_M in scores_BM]


@dataclass(frozen=True, kw_only=True)
class Ease:
    """EASE on the N most frequent items: B_ij = -P_ij / P_jj off the diagonal and B_jj = 0, P = (X'X + penalty I)^-1.

    X has one row per training set and one column per item; it is 1 where the set contains the item. The eigenvectors
    of X'X give P for any penalty.

    Attributes:
        rows_N: Pool rows of the items.
        counts_E: Eigenvalues of X'X. Their mean is the mean number of sets per item.
        vectors_NE: Its eigenvectors.
    """

    rows_N: Rows
    counts_E: NDArray[np.float64]
    vectors_NE: NDArray[np.float64]

    def spread(self, votes_BM: Sequence[NDArray[np.float64]], strength: float) -> list[NDArray[np.float64]]:
        """The scores x + x B for the votes x of the N items; the votes of other items stay. One (M,) per query.

        (x B)_j is x_j - (x P)_j / P_jj. The penalty is ``strength``, above 0, times the mean number of sets per item.
        """
        if not len(self.rows_N):
            return list(votes_BM)
        inverse_E = 1.0 / (self.counts_E + strength * self.counts_E.mean())
        diagonal_N = self.vectors_NE**2 @ inverse_E
        x_BN = np.stack([votes_M[self.rows_N] for votes_M in votes_BM])
        scores_BN = 2.0 * x_BN - (x_BN @ self.vectors_NE * inverse_E) @ self.vectors_NE.T / diagonal_N
        spread_BM = [votes_M.copy() for votes_M in votes_BM]
        for scores_M, scores_N in zip(spread_BM, scores_BN, strict=True):
            scores_M[self.rows_N] = scores_N
        return spread_BM


def fit_ease(members: Members, num_sets: int, max_items: int) -> Ease:
    """Count how often items occur together in the training sets, without a matrix of sets x items."""
    rows_N = np.argsort(-members.counts_M, kind="stable")[: min(max_items, np.count_nonzero(members.counts_M))]
    position_M = np.full(len(members.counts_M), -1, dtype=np.int64)
    position_M[rows_N] = np.arange(len(rows_N))
    together_NN = np.zeros((len(rows_N), len(rows_N)))
    for rows in members.of_each_set(num_sets):
        kept = position_M[rows]
        kept = kept[kept >= 0]
        together_NN[np.ix_(kept, kept)] += 1.0
    counts_E, vectors_NE = np.linalg.eigh(together_NN)
    return Ease(rows_N=rows_N, counts_E=counts_E.clip(min=0.0), vectors_NE=vectors_NE)


EASE_ITEMS = Method(name="ease_items", answer=answer, format="items", tasks=("wscr",))
