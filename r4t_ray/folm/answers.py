"""Written answers: lists of sub-queries put together from the items of a set and of sets like it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array, Rows

NEAR_DUPLICATE = 0.9
"""Two names closer than this cosine would find the same items, so a list holds one of them."""


def rank_neighbour_items(
    query_emb_BD: Array, items: Sequence[Sequence[str]], set_emb_MD: Array, num_neighbours: int, exclude_self: bool
) -> list[list[str]]:
    """For each query, the items of its nearest sets, by summed similarity, best first.

    Args:
        query_emb_BD: Unit rows.
        items: The M sets' item names.
        set_emb_MD: Unit rows, one a set.
        num_neighbours: How many sets vote.
        exclude_self: Query b is set b, and does not vote for itself.
    """
    ranked: list[list[str]] = []
    for start in range(0, len(query_emb_BD), 1024):
        scores_BM = query_emb_BD[start : start + 1024] @ set_emb_MD.T
        if exclude_self:
            rows_B = np.arange(len(scores_BM))
            scores_BM[rows_B, start + rows_B] = -np.inf
        width = min(num_neighbours, scores_BM.shape[1] - 1)
        nearest_BK = np.argpartition(-scores_BM, width, axis=1)[:, :width]
        for scores_M, nearest_K in zip(scores_BM, nearest_BK, strict=True):
            votes: dict[str, float] = defaultdict(float)
            for row in nearest_K:
                for name in items[row]:
                    votes[name] += float(scores_M[row])
            ranked.append(sorted(votes, key=lambda name: (-votes[name], name)))
    return ranked


def complete_list(own: Sequence[str], others: Sequence[str], k: int, emb: Mapping[str, Array]) -> list[str]:
    """The first k of ``own`` then ``others``, leaving out near duplicates of what is already in.

    ``emb`` maps a name to its unit vector; a name without one is compared by its text alone.
    """
    kept: list[str] = []
    vectors: list[Array] = []
    for name in (*own, *others):
        if len(kept) == k:
            break
        vector = emb.get(name)
        if name in kept or (vector is not None and vectors and max(np.stack(vectors) @ vector) > NEAR_DUPLICATE):
            continue
        kept.append(name)
        if vector is not None:
            vectors.append(vector)
    return kept


def expected_items(query_emb_BD: Array, member_BM: Array, temperature: float, voters_B: NDArray[np.bool_]) -> Array:
    """What each set's items may be, judged by the sets of similar queries: a softmax-weighted mean of their members.

    Args:
        query_emb_BD: Unit rows, a query a set.
        member_BM: 1 where item m is in set b.
        temperature: Of the softmax over cosines; a small one trusts the nearest sets alone.
        voters_B: The sets whose members count.

    Returns:
        ``score_BM``, rows summing to the mean size of the voters' sets; no set votes for itself.
    """
    weights_BB = query_emb_BD @ query_emb_BD.T / temperature
    weights_BB[:, ~voters_B] = -np.inf
    np.fill_diagonal(weights_BB, -np.inf)
    weights_BB = np.exp(weights_BB - weights_BB.max(axis=1, keepdims=True))
    return np.asarray(weights_BB / weights_BB.sum(axis=1, keepdims=True) @ member_BM, np.float32)


def greedy_cover(score_M: Array, hits_CK: Rows, k: int) -> list[int]:
    """Pick k of C candidates, each the one whose hits hold the most score that is not covered yet.

    Args:
        score_M: How much each item is wanted.
        hits_CK: The K items that a search for candidate c brings back.
        k: Candidates to pick; fewer where there are fewer.
    """
    left_M = score_M.copy()
    picked: list[int] = []
    for _ in range(min(k, len(hits_CK))):
        picked.append(int(left_M[hits_CK].sum(axis=1).argmax()))
        left_M[hits_CK[picked[-1]]] = 0.0
    return picked
