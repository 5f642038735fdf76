"""Written answers: lists of sub-queries put together from the items of a set and of sets like it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array, Rows

NEAR_DUPLICATE = 0.9
"""Two names closer than this cosine would find the same items, so a list holds one of them."""


def nearest_sets(
    query_emb_BD: Array, set_emb_MD: Array, num_neighbours: int, own_B: Rows | None = None
) -> tuple[Rows, Array]:
    """The sets nearest to each query.

    Args:
        query_emb_BD: Unit rows.
        set_emb_MD: Unit rows, one a set.
        num_neighbours: K, clipped to the number of sets that a query has.
        own_B: The set that each query belongs to, which is left out; none by default.

    Returns:
        ``rows_BK`` in no particular order, and their cosines ``cos_BK``.
    """
    width = min(num_neighbours, len(set_emb_MD) - (own_B is not None))
    scores_BM = query_emb_BD @ set_emb_MD.T
    if own_B is not None:
        scores_BM[np.arange(len(own_B)), own_B] = -np.inf
    rows_BK = np.argpartition(-scores_BM, width - 1, axis=1)[:, :width].copy()
    return rows_BK, np.take_along_axis(scores_BM, rows_BK, axis=1)


def rank_by_votes(voters: Sequence[Sequence[str]], cos_K: Array, temperature: float) -> list[str]:
    """The names that K sets hold, the most expected first: each scores the softmax weight of every set that holds it.

    Ties go to the name that comes first in the alphabet.

    >>> rank_by_votes([["egg", "rice"], ["rice"], ["salt"]], np.array([0.9, 0.9, 0.8]), 0.1)
    ['rice', 'egg', 'salt']
    """
    weights_K = np.exp((cos_K - cos_K.max()) / temperature)
    votes: dict[str, float] = defaultdict(float)
    for names, weight in zip(voters, weights_K / weights_K.sum(), strict=True):
        for name in names:
            votes[name] += float(weight)
    return sorted(votes, key=lambda name: (-votes[name], name))


def distinct_names(ranked: Sequence[str], k: int, emb: Mapping[str, Array]) -> list[str]:
    """The first k names, leaving out near duplicates of what is already in.

    ``emb`` maps every name to its unit vector.
    """
    kept: list[str] = []
    kept_emb_kD: list[Array] = []
    for name in ranked:
        if len(kept) == k:
            break
        if kept and (np.stack(kept_emb_kD) @ emb[name]).max() > NEAR_DUPLICATE:
            continue
        kept.append(name)
        kept_emb_kD.append(emb[name])
    return kept


def membership(sets: Sequence[Sequence[str]], pool_ids: Sequence[str]) -> Array:
    """``member_BM``: 1 where item m of the pool is in set b, else 0; an item that the pool lacks is a KeyError.

    >>> membership([["b"], ["a", "c"]], ["a", "b", "c"]).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    row_of = {item_id: row for row, item_id in enumerate(pool_ids)}
    member_BM = np.zeros((len(sets), len(pool_ids)), np.float32)
    for b, item_ids in enumerate(sets):
        member_BM[b, [row_of[item_id] for item_id in item_ids]] = 1.0
    return member_BM


def expected_items(
    query_emb_BD: Array, set_emb_VD: Array, member_VM: Array, temperature: float, votes_BV: NDArray[np.bool_]
) -> Array:
    """What each query's items may be, judged by the sets of similar queries: a softmax-weighted mean of their members.

    Args:
        query_emb_BD: Unit rows.
        set_emb_VD: Unit rows, the queries that the V sets belong to.
        member_VM: 1 where item m is in set v.
        temperature: Of the softmax over cosines; a small one trusts the nearest sets alone.
        votes_BV: Where set v has a vote on query b; every query hears one set or more.

    Returns:
        ``score_BM``, rows summing to the weighted mean size of the sets.
    """
    weights_BV = np.where(votes_BV, query_emb_BD @ set_emb_VD.T / temperature, -np.inf)
    weights_BV = np.exp(weights_BV - weights_BV.max(axis=1, keepdims=True))
    return np.asarray(weights_BV / weights_BV.sum(axis=1, keepdims=True) @ member_VM, np.float32)


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
