"""The index types: their settings, their builders and their storage of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import faiss
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.index.flat import build_flat, flat_parameters, flat_storage
from r4t_ray.index.hnsw import build_hnsw, hnsw_parameters, hnsw_storage
from r4t_ray.types import Array, Rows

IndexTypeName = Literal["flat", "hnsw"]


class IndexConfig(Settings):
    """The nearest-neighbour index over the pool of each task."""

    type: IndexTypeName = Field(
        "hnsw",
        description="flat is an exhaustive search and exact. hnsw searches a graph. It is approximate and much faster "
        "on large pools.",
    )
    num_shards: int = Field(
        2,
        ge=1,
        description="Shards of each pool. Each shard can have its own deployment. Raise it to spread a large pool over "
        "several nodes.",
    )
    hnsw_m: int = Field(
        32, ge=2, description="Neighbours of a node in the HNSW graph. A larger number raises recall and memory."
    )
    ef_search: int = Field(
        64, ge=1, description="Candidates of an HNSW search. A larger number raises recall and latency."
    )
    ef_construction: int = Field(
        80,
        ge=1,
        description="Candidates when a row is added to the HNSW graph. A larger number raises recall and build time.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Threads that build the index. With more than one thread, the HNSW graph differs between runs.",
    )

    def build(self, emb_MD: Array) -> faiss.Index:
        """Build the index over the rows of one shard, shape (M, D)."""
        return INDEX_TYPES[self.type].build(emb_MD, self)


class IndexType(NamedTuple):
    """What an index type does.

    Attributes:
        build: Builds it over rows.
        storage: Gives the IndexFlat with its uncompressed rows.
        parameters: Parameters of a search of so many hits among some rows. None asks for an exhaustive search.
    """

    build: Callable[[Array, IndexConfig], faiss.Index]
    storage: Callable[[Any], faiss.IndexFlat]
    parameters: Callable[[Any, Rows, int], faiss.SearchParameters | None]


INDEX_TYPES: dict[IndexTypeName, IndexType] = {
    "flat": IndexType(lambda emb_MD, _: build_flat(emb_MD), flat_storage, flat_parameters),
    "hnsw": IndexType(
        lambda emb_MD, c: build_hnsw(emb_MD, c.hnsw_m, c.ef_construction, c.ef_search), hnsw_storage, hnsw_parameters
    ),
}
