"""Pools made of attributes written in a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from r4t_ray.retrieval.filtering.attributes import ItemAttributes, PoolAttributes, typed_columns


def items_of(attributes: Sequence[dict[str, Any]]) -> PoolAttributes:
    """A pool in which each entry is an item."""
    return collections_of(attributes, [[item] for item in range(len(attributes))], are_items=True)


def collections_of(
    attributes: Sequence[dict[str, Any]], members: Sequence[Sequence[int]], are_items: bool = False
) -> PoolAttributes:
    """A pool of collections of the items with the given numbers. The columns are read in batches of two."""
    texts = [json.dumps(each) for each in attributes]
    items = ItemAttributes(
        columns=typed_columns(texts[start : start + 2] for start in range(0, len(texts), 2)),
        ids=pa.chunked_array([[f"i{item}" for item in range(len(texts))]], pa.string()),
        texts=pa.chunked_array([texts], pa.string()),
    )
    offsets_M1 = np.cumsum([0, *map(len, members)])
    members_N = np.array([item for each in members for item in each], np.int32)
    return PoolAttributes(items=items, offsets_M1=offsets_M1, members_N=members_N, are_items=are_items)
