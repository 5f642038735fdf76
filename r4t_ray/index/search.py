"""The index over one task's pool, all shards in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from r4t_ray.artifacts import Workspace
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.errors import ArtifactError
from r4t_ray.index.merge import merge_topk
from r4t_ray.index.shard import Shard, flat_shard, load_shard, read_index_file, require_queries
from r4t_ray.types import Array, Rows, Task

POOLS: dict[Task, str] = {"oar": "sets", "wscr": "items"}
"""What a task retrieves: collections for oar, single items for wscr."""


@dataclass(frozen=True)
class ShardedIndex:
    """Shards over one pool; ``ids`` and ``emb_MD`` (unit rows) are the pool's, in row order."""

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
            q_BD: Unit rows.
            k: Hits of a query; clipped to the pool's size.

        Returns:
            ``scores_BK``, cosines, descending, and ``rows_BK``, global rows; of equal scores the lower row is first.

        Raises:
            RequestError: k < 1, another width, or a value that is not finite.
        """
        q_BD = require_queries(q_BD, k, self.emb_MD.shape[1])
        return search_shards(self.shards, q_BD, k)

    def with_rows(self, ids: Sequence[str], emb_MD: Array) -> ShardedIndex:
        """The index with more rows after its own, in a flat shard beside its shards; nothing on disk changes.

        Args:
            ids: Ids of the rows, which may be none.
            emb_MD: Their unit embeddings.
        """
        if not ids:
            return self
        shards = (*self.shards, flat_shard(emb_MD, self.size))
        return ShardedIndex(shards, [*self.ids, *ids], np.concatenate([self.emb_MD, emb_MD]))

    def of_rows(self, rows: Sequence[int]) -> ShardedIndex:
        """An index over some of the rows, numbered anew, in a flat shard if there are any; nothing on disk changes."""
        emb_MD = self.emb_MD[list(rows)]
        shards = (flat_shard(emb_MD),) if len(emb_MD) else ()
        return ShardedIndex(shards, [self.ids[row] for row in rows], emb_MD)


def search_shards(shards: Sequence[Shard], q_BD: Array, k: int) -> tuple[Array, Rows]:
    """The k best rows over shards of one pool; see ``ShardedIndex.search``."""
    scores, rows = zip(*(shard.search(q_BD, k) for shard in shards), strict=True)
    return merge_topk(scores, rows, k)


def load_index(workspace: Workspace, task: Task) -> ShardedIndex:
    """Open one task's index with its pool; files are verified against their manifests.

    Raises:
        ArtifactError: A file is tampered, truncated or missing, or index and embeddings disagree.
    """
    folder = workspace.artifact("index").path / task
    ids, emb_MD = read_embedding_table(workspace.artifact("encoder").file(f"{POOLS[task]}.parquet"))
    if pq.read_table(folder / "ids.parquet")["id"].to_pylist() != ids:
        raise ArtifactError(
            str(folder / "ids.parquet"), "other ids than the embeddings", "the same rows", "run `r4t build-index`"
        )
    num_shards = len(read_index_file(folder)["offsets"]) - 1
    return ShardedIndex(tuple(load_shard(folder, number) for number in range(num_shards)), ids, emb_MD)
