"""The index over the pool of one task, with all shards in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from r4t_ray.artifacts import Workspace
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.errors import ArtifactError
from r4t_ray.index.shard import Shard, flat_shard, load_shards, merge_topk, require_queries
from r4t_ray.types import POOLS, Array, Fetch, Rows, Search, Task


@dataclass(frozen=True, kw_only=True)
class ShardedIndex:
    """All shards of one pool. ``ids`` and ``emb_MD`` (unit rows, shape (M, D)) describe the pool in row order."""

    shards: tuple[Shard, ...]
    ids: list[str]
    emb_MD: Array

    @property
    def size(self) -> int:
        """Rows of the pool."""
        return len(self.ids)

    def search(self, q_BD: Array, k: int) -> tuple[Array, Rows]:
        """The k best rows of the pool for each query.

        Args:
            q_BD: Unit rows, shape (B, D).
            k: Hits per query. A larger k than the pool gives all its rows.

        Returns:
            ``scores_BK`` (cosines in descending order) and ``rows_BK`` (rows of the pool), both of shape (B, K). Of
            equal scores the lower row comes first.

        Raises:
            RequestError: k is below 1, the width is wrong, or a value is not finite.
        """
        q_BD = require_queries(q_BD, k, self.emb_MD.shape[1])
        return search_shards(self.shards, Search(z_LD=q_BD, num_hits=k))

    def with_rows(self, ids: Sequence[str], emb_MD: Array) -> ShardedIndex:
        """A new index with additional rows at its end, in a flat shard in memory. Files do not change.

        Args:
            ids: Ids of the additional rows. If it is empty, this index is returned.
            emb_MD: Unit embeddings of the additional rows.
        """
        if not ids:
            return self
        shards = (*self.shards, flat_shard(emb_MD, self.size))
        return ShardedIndex(shards=shards, ids=[*self.ids, *ids], emb_MD=np.concatenate([self.emb_MD, emb_MD]))

    def of_rows(self, rows: Sequence[int]) -> ShardedIndex:
        """A flat index in memory over the given rows, renumbered from 0 in their order. Files do not change."""
        emb_MD = self.emb_MD[list(rows)]
        shards = (flat_shard(emb_MD),) if len(emb_MD) else ()
        return ShardedIndex(shards=shards, ids=[self.ids[row] for row in rows], emb_MD=emb_MD)


def search_shards(shards: Sequence[Shard], search: Search) -> tuple[Array, Rows]:
    """The nearest rows over all shards of one pool; see ``Shard.search``."""
    if len(shards) == 1:
        return shards[0].search(search)
    scores, rows = zip(*(shard.search(search) for shard in shards), strict=True)
    return merge_topk(scores, rows, search.num_hits)


def joined_vectors(rows_K: Rows, parts: Sequence[tuple[Rows, Array]]) -> Array:
    """The embeddings of pool rows, (K, D), from the ``Shard.vectors`` of the shards. A row that none has is zero."""
    emb_KD = np.zeros((len(rows_K), parts[0][1].shape[1]), np.float32)
    for rows_N, emb_ND in parts:
        places = {row: place for place, row in enumerate(rows_N.tolist())}
        held = [at for at, row in enumerate(rows_K.tolist()) if row in places]
        emb_KD[held] = emb_ND[[places[int(rows_K[at])] for at in held]]
    return emb_KD


def fetch_vectors(shards: Sequence[Shard], rows_K: Rows) -> Array:
    """The embeddings of pool rows over all shards of one pool, (K, D)."""
    return joined_vectors(rows_K, [shard.vectors(rows_K) for shard in shards])


def look_up(shards: Sequence[Shard], lookup: Search | Fetch) -> Any:
    """What a lookup finds over all shards of one pool: scores and rows of a search, or embeddings."""
    return fetch_vectors(shards, lookup.rows) if isinstance(lookup, Fetch) else search_shards(shards, lookup)


def load_index(workspace: Workspace, task: Task) -> ShardedIndex:
    """Load the index of one task and its pool. The files are checked against their manifests.

    Raises:
        ArtifactError: A file was changed, is truncated or is missing, or index and embeddings have different ids.
    """
    folder = workspace.artifact("index").path / task
    ids, emb_MD = read_embedding_table(workspace.artifact("encoder").file(f"{POOLS[task]}.parquet"))
    if pq.read_table(folder / "ids.parquet")["id"].to_pylist() != ids:
        raise ArtifactError(
            str(folder / "ids.parquet"), "other ids than the embeddings", "the same rows", "run `r4t build-index`"
        )
    return ShardedIndex(shards=load_shards(folder), ids=ids, emb_MD=emb_MD)
