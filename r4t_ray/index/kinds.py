"""The index types: settings, and for each type how it is built and where its rows lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import faiss
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.index.flat import build_flat, flat_storage
from r4t_ray.index.hnsw import build_hnsw, hnsw_storage
from r4t_ray.types import Array

KindName = Literal["flat", "hnsw"]


class IndexConfig(Settings):
    """What index is built over each pool."""

    type: KindName = "hnsw"
    num_shards: int = Field(default=1, ge=1)
    hnsw_m: int = Field(default=32, ge=2)
    ef_search: int = Field(default=64, ge=1)
    ef_construction: int = Field(default=80, ge=1)
    build_threads: int = Field(default=1, ge=1, description="with more than one an HNSW graph differs between runs")

    def build(self, emb_MD: Array) -> faiss.Index:
        """The index of one shard's rows."""
        return KINDS[self.type].build(emb_MD, self)


class Kind(NamedTuple):
    """How a type is built, and the IndexFlat that holds its uncompressed rows."""

    build: Callable[[Array, IndexConfig], faiss.Index]
    storage: Callable[[Any], faiss.IndexFlat]


KINDS: dict[KindName, Kind] = {
    "flat": Kind(lambda emb_MD, _: build_flat(emb_MD), flat_storage),
    "hnsw": Kind(lambda emb_MD, c: build_hnsw(emb_MD, c.hnsw_m, c.ef_construction, c.ef_search), hnsw_storage),
}
