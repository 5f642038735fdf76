"""Operating points: the search parameters of an index, and the recall and the time that each gives.

A point is tried from the cheapest. The first one that reaches the target recall is chosen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from r4t_ray.index.index_types import INDEX_TYPES, Point
from r4t_ray.index.search import search_shards
from r4t_ray.index.shard import Shard
from r4t_ray.types import Array, Rows, Search

RECALL_K = 10
DIRECTIONS = 10
"""Directions of one request, as timed."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An operating point, its recall of the ten nearest rows of an exhaustive search, and its time for a direction."""

    point: Point
    recall_at_10: float
    ms: float

    def facts(self) -> dict[str, Any]:
        """What is the same in every run: the point and its recall."""
        return {**self.point, "recall_at_10": self.recall_at_10}


def tune(shards: Sequence[Shard], queries_BD: Array, target: float) -> list[Measured]:
    """Try the operating points of the shards' type, and set the cheapest one that reaches the target.

    If none reaches it, the one with the highest recall is set, and a warning says so.

    Args:
        shards: All shards of a pool, of one type.
        queries_BD: Unit rows, such as those that will be searched.
        target: Recall of the ten nearest rows.

    Returns:
        The points that were tried and have a higher recall than every cheaper one, from the cheapest. The last one is
        set.
    """
    true_BK = exact_rows(shards, queries_BD, RECALL_K)
    better: list[Measured] = []
    for point in INDEX_TYPES[shards[0].type].points(shards[0].index):
        found = measure(shards, queries_BD, true_BK, point)
        _logger.info("%s %s: recall %.4f, %.3f ms a direction", shards[0].type, point, found.recall_at_10, found.ms)
        if not better or found.recall_at_10 > better[-1].recall_at_10:
            better.append(found)
        if found.recall_at_10 >= target:
            break
    set_point(shards, better[-1].point)
    if better[-1].recall_at_10 < target:
        _logger.warning(
            "index.target_recall %g is not reached: the best point of %s, %s, has a recall of %.4f. It is used. Set "
            "index.type to flat, or raise index.hnsw_m and index.ef_construction of hnsw",
            *(target, shards[0].type, better[-1].point, better[-1].recall_at_10),
        )
    return better


def queries_and_nearest(shards: Sequence[Shard], queries_BD: Array) -> Array:
    """The queries, and the row of the pool nearest to each, which stand in for directions before any is generated."""
    nearest = {int(row) for row in exact_rows(shards, queries_BD, 1)[:, 0]}
    rows_ND = [
        shard.storage.reconstruct(row - shard.offset)
        for row in sorted(nearest)
        for shard in shards
        if shard.offset <= row < shard.offset + shard.size
    ]
    return np.concatenate([queries_BD, np.stack(rows_ND)])


def measure(shards: Sequence[Shard], queries_BD: Array, true_BK: Rows, point: Point) -> Measured:
    """Set a point, and measure its recall and its time in requests of DIRECTIONS directions."""
    set_point(shards, point)
    started = time.perf_counter()
    found = [
        search_shards(shards, Search(z_LD=queries_BD[start : start + DIRECTIONS], num_hits=RECALL_K))[1]
        for start in range(0, len(queries_BD), DIRECTIONS)
    ]
    ms = (time.perf_counter() - started) * 1000 / len(queries_BD)
    return Measured(point=point, recall_at_10=recall(np.concatenate(found), true_BK), ms=ms)


def set_point(shards: Sequence[Shard], point: Point) -> None:
    """Set an operating point of every shard."""
    for shard in shards:
        INDEX_TYPES[shard.type].apply(shard.index, point)


def recall_against_flat(shards: Sequence[Shard], queries_BD: Array, k: int) -> float:
    """Mean recall of the shards: the share of the k nearest rows of an exhaustive search that they find."""
    return recall(search_shards(shards, Search(z_LD=queries_BD, num_hits=k))[1], exact_rows(shards, queries_BD, k))


def exact_rows(shards: Sequence[Shard], queries_BD: Array, k: int) -> Rows:
    """The k nearest rows by an exhaustive search, shape (B, K)."""
    exact = [replace(shard, index=shard.storage, type="flat") for shard in shards]
    return search_shards(exact, Search(z_LD=queries_BD, num_hits=k))[1]


def recall(found_BK: Rows, true_BK: Rows) -> float:
    """The share of the true rows that are found.

    >>> recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [3, 5]]))
    0.75
    """
    return float((found_BK[:, :, None] == true_BK[:, None, :]).any(axis=1).mean())
