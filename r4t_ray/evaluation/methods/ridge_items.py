"""Items scored by a ridge regression from the query's embedding, as one list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.soft_sets import Members, training_members
from r4t_ray.evaluation.methods.soft_sets_items import ranked_answer
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

STRENGTHS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """A ridge regression, fitted on the training queries, predicts from the query's embedding which items its set has.

    The k*n items with the highest predictions are one list without a search. The penalty is tuned on validation
    queries, as a multiple of (training queries / width of the embedding). The items are distributed round-robin over k
    directions. The directions are the embeddings of the first k items. Items of no training set are left out.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, RIDGE_ITEMS.name, STRENGTHS, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, strength: float) -> list[Answer]:
    """The answers with one strength of the penalty."""
    return [ranked_answer(bench, scores_M) for scores_M in ridge_scores(bench, query_emb_BD, strength)]


def ridge_scores(bench: Bench, query_emb_BD: Array, strength: float) -> Iterator[NDArray[np.float64]]:
    """Predictions for every pool row, shape (M,), query by query. The penalty is strength * S / D.

    S / D is the mean eigenvalue of Z'Z for S unit rows Z of width D.
    """
    num, dim = bench.train_emb_BD.shape
    fit = bench.fits.get("ridge", lambda: fit_ridge(bench.train_emb_BD, training_members(bench)))
    return fit.scores(query_emb_BD, strength * max(num, 1) / dim)


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """W = (Z'Z + penalty I)^-1 Z'X minimises ||Z W - X||^2 + penalty ||W||^2. Both products are kept, for any penalty.

    Z holds the embeddings of the training queries. X has one row per training query and one column per pool row; it is
    1 where the set contains the row.

    Attributes:
        gram_DD: Z'Z.
        sums_MD: X'Z: the sum of the embeddings of the queries whose set contains the row.
    """

    gram_DD: NDArray[np.float64]
    sums_MD: Array

    def scores(self, query_emb_BD: Array, penalty: float) -> Iterator[NDArray[np.float64]]:
        """The predictions z'W of each query z, shape (M,); 0 for a row of no set. ``penalty`` is above 0."""
        regular_DD = self.gram_DD + penalty * np.eye(len(self.gram_DD))
        for solved_D in np.linalg.solve(regular_DD, query_emb_BD.T.astype(np.float64)).T:
            yield (self.sums_MD @ solved_D.astype(np.float32)).astype(np.float64)


def fit_ridge(query_emb_SD: Array, members: Members) -> Ridge:
    """The products of the training queries' embeddings, shape (S, D), and the members of their sets.

    X is never made as a matrix.
    """
    z_SD = query_emb_SD.astype(np.float64)
    sums_MD = np.zeros((len(members.counts_M), z_SD.shape[1]), dtype=np.float32)
    for z_D, rows in zip(query_emb_SD, members.of_each_set(len(z_SD)), strict=True):
        sums_MD[rows] += z_D
    return Ridge(gram_DD=z_SD.T @ z_SD, sums_MD=sums_MD)


RIDGE_ITEMS = Method(name="ridge_items", answer=answer, format="items", tasks=("wscr",))
