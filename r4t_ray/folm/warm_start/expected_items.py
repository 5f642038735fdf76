"""The items that are expected in a query's set, estimated from the training sets of similar queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array, Rows


def membership(sets: Sequence[Sequence[str]], pool_ids: Sequence[str]) -> Array:
    """``member_BM``: 1 where item m of the pool is in set b, else 0.

    Raises:
        KeyError: The pool lacks an item of a set.

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
    """The items expected for each query: the softmax-weighted mean of the sets of similar queries.

    Args:
        query_emb_BD: Unit rows.
        set_emb_VD: Unit rows, the queries of the V sets.
        member_VM: 1 where item m is in set v.
        temperature: Temperature of the softmax over cosines. With a low one only the nearest sets count.
        votes_BV: True where set v votes on query b. Every query needs at least one voter.

    Returns:
        ``score_BM``. A row sums to the weighted mean size of the sets.
    """
    weights_BV = np.where(votes_BV, query_emb_BD @ set_emb_VD.T / temperature, -np.inf)
    weights_BV = np.exp(weights_BV - weights_BV.max(axis=1, keepdims=True))
    return np.asarray(weights_BV / weights_BV.sum(axis=1, keepdims=True) @ member_VM, np.float32)


def greedy_cover(score_M: Array, hits_CK: Rows, k: int) -> list[int]:
    """Greedy coverage: pick k of C candidates, each time the one whose hits add the largest uncovered score.

    Args:
        score_M: Score of each item.
        hits_CK: The K items that a search for each candidate returns.
        k: Candidates to pick; all candidates if there are fewer.

    Returns:
        The picked candidates in the order of picking.
    """
    left_M = score_M.copy()
    picked: list[int] = []
    for _ in range(min(k, len(hits_CK))):
        picked.append(int(left_M[hits_CK].sum(axis=1).argmax()))
        left_M[hits_CK[picked[-1]]] = 0.0
    return picked
