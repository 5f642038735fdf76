"""The nearest items of the query, re-ranked by a determinantal point process (DPP; arXiv 1207.6083)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions, picked_rows
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

STRENGTHS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """A determinantal point process picks k of the query's nearest items: each pick raises det(I + L) most.

    L_ij = quality_i * cos(item i, item j) * quality_j. The quality of an item is exp(s/2 * (its cosine to the query -
    the largest such cosine)). The strength s is tuned on validation queries. At s = 0 only diversity counts. The
    embeddings of the picks are the directions. Each direction retrieves its n nearest items.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, DPP.name, STRENGTHS, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, strength: float) -> list[Answer]:
    """The answers with one strength of the quality."""
    pick = partial(dpp_picks, num_picks=bench.k, strength=strength)
    picked = picked_rows(bench.index, query_emb_BD, bench.num_candidates, pick)
    return answers_of_directions(bench.index, [bench.index.emb_MD[rows] for rows in picked], bench.n)


def dpp_picks(candidate_emb_MD: Array, query_emb_D: Array, num_picks: int, strength: float) -> Rows:
    """Greedy maximisation of det(I + L) over subsets of the candidates (fast greedy MAP inference, arXiv 1709.05135).

    The Cholesky factor of I + L grows by one row per pick. gain_M is the factor by which a candidate would raise the
    determinant. Ties go to the earlier candidate.

    Args:
        candidate_emb_MD: Unit embeddings of the candidates, shape (M, D).
        query_emb_D: Unit embedding of the query, shape (D,).
        num_picks: Number of picks.
        strength: s of quality_i = exp(s/2 * (cos(c_i, q) - max over j of cos(c_j, q))).

    Returns:
        Positions of the picks in order, shape (min(num_picks, M),).
    """
    num_picks = min(num_picks, len(candidate_emb_MD))
    if not num_picks:
        return np.zeros(0, dtype=np.int64)
    cos_M = candidate_emb_MD.astype(np.float64) @ query_emb_D.astype(np.float64)
    weighted_MD = candidate_emb_MD * np.exp(strength / 2.0 * (cos_M - cos_M.max()))[:, None]  # L = weighted weighted^T
    gain_M = 1.0 + np.einsum("md,md->m", weighted_MD, weighted_MD)
    factor_NM = np.zeros((num_picks, len(cos_M)))
    picks: list[int] = []
    for number in range(num_picks):
        pick = int(np.argmax(gain_M))
        kernel_M = weighted_MD @ weighted_MD[pick]
        factor_NM[number] = (kernel_M - factor_NM[:number, pick] @ factor_NM[:number]) / np.sqrt(gain_M[pick])
        gain_M -= factor_NM[number] ** 2
        gain_M[[*picks, pick]] = -np.inf
        picks.append(pick)
    return np.array(picks, dtype=np.int64)


DPP = Method(name="dpp", answer=answer)
