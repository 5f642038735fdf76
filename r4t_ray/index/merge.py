"""Hits of several shards to the hits of one index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r4t_ray.types import Array, Rows


def merge_topk(scores: Sequence[Array], rows: Sequence[Rows], k: int) -> tuple[Array, Rows]:
    """The k best hits over all shards.

    Args:
        scores: ``scores_BK`` of each shard; K may differ between shards.
        rows: ``rows_BK`` of each shard, global rows.
        k: Hits to keep; clipped to the number given.

    Returns:
        ``scores_BK`` descending and ``rows_BK``; of equal scores the lower row comes first.

    >>> merge_topk([np.float32([[0.5]]), np.float32([[0.9, 0.5]])], [np.int64([[7]]), np.int64([[8, 3]])], 2)
    (array([[0.9, 0.5]], dtype=float32), array([[8, 3]]))
    """
    scores_BK, rows_BK = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order_BK = np.lexsort((rows_BK, -scores_BK), axis=1)[:, :k]
    return np.take_along_axis(scores_BK, order_BK, axis=1), np.take_along_axis(rows_BK, order_BK, axis=1)
