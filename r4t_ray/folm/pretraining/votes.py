"""Answers for a title: the ingredients that recipes with similar titles vote for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from r4t_ray.types import Array, Rows

NEAR_DUPLICATE = 0.9
"""Two names with a higher cosine find the same items, so a list holds only one of them."""

BLOCK = 256
"""Queries that are compared with all sets at a time. It bounds the memory: 256 x 60,000 cosines take 61 MB."""


def nearest_sets(
    query_emb_BD: Array, set_emb_MD: Array, num_neighbours: int, own_B: Rows | None = None
) -> tuple[Rows, Array]:
    """The sets nearest to each query.

    Args:
        query_emb_BD: Unit rows.
        set_emb_MD: Unit rows, one a set.
        num_neighbours: K, clipped to the number of candidate sets.
        own_B: Row of the set that each query belongs to. This set is left out. By default no set is left out.

    Returns:
        ``rows_BK`` in no particular order, and their cosines ``cos_BK``.
    """
    width = min(num_neighbours, len(set_emb_MD) - (own_B is not None))
    rows_BK = np.empty((len(query_emb_BD), width), np.int64)
    cos_BK = np.empty((len(query_emb_BD), width), np.float32)
    for start in range(0, len(query_emb_BD), BLOCK):
        block = slice(start, start + BLOCK)
        scores_bM = query_emb_BD[block] @ set_emb_MD.T
        if own_B is not None:
            scores_bM[np.arange(len(scores_bM)), own_B[block]] = -np.inf
        rows_BK[block] = np.argpartition(-scores_bM, width - 1, axis=1)[:, :width]
        cos_BK[block] = np.take_along_axis(scores_bM, rows_BK[block], axis=1)
    return rows_BK, cos_BK


def rank_by_votes(voters: Sequence[Sequence[str]], cos_K: Array, temperature: float) -> list[str]:
    """The names in K sets by descending vote.

    Each set adds the softmax weight of its cosine to the vote of every name that it holds. Ties are in alphabetical
    order.

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
    """The first k names, without near duplicates of the names before them.

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
