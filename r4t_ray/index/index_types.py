"""The index types: their settings, how each is built, and where it holds its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import faiss
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.index.flat import build_flat, flat_storage
from r4t_ray.index.hnsw import build_hnsw, hnsw_storage
from r4t_ray.types import Array

IndexTypeName = Literal["flat", "hnsw"]


class IndexConfig(Settings):
    """The nearest-neighbour index over the pool of each task."""

    type: IndexTypeName = Field(
        "hnsw",
        description="flat compares a direction with every row and is exact. hnsw searches a graph: it is approximate, "
        "and much faster on large pools.",
    )
    num_shards: int = Field(
        2,
        ge=1,
        description="Parts of each pool. Each part can be served by its own deployment, so that a large pool is spread "
        "over nodes.",
    )
    hnsw_m: int = Field(
        32, ge=2, description="Neighbours of a node in the HNSW graph. More of them raise the recall and the memory."
    )
    ef_search: int = Field(
        64, ge=1, description="Candidates that an HNSW search looks at. More of them raise the recall and the latency."
    )
    ef_construction: int = Field(
        80, ge=1, description="Candidates that are looked at when a row is added to the HNSW graph."
    )
    num_threads: int = Field(
        1,
        ge=1,
        description="Threads that build the index. With more than one, the HNSW graph differs from run to run.",
    )

    def build(self, emb_MD: Array) -> faiss.Index:
        """The index of one shard's rows."""
        return INDEX_TYPES[self.type].build(emb_MD, self)


class IndexType(NamedTuple):
    """How an index type is built, and the IndexFlat that holds its uncompressed rows."""

    build: Callable[[Array, IndexConfig], faiss.Index]
    storage: Callable[[Any], faiss.IndexFlat]


INDEX_TYPES: dict[IndexTypeName, IndexType] = {
    "flat": IndexType(lambda emb_MD, _: build_flat(emb_MD), flat_storage),
    "hnsw": IndexType(lambda emb_MD, c: build_hnsw(emb_MD, c.hnsw_m, c.ef_construction, c.ef_search), hnsw_storage),
}
