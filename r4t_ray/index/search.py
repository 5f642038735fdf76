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
from r4t_ray.types import Array, Rows, Search, Task

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
        return search_shards(self.shards, Search(z_LD=q_BD, num_hits=k))

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


def search_shards(shards: Sequence[Shard], search: Search) -> tuple[Array, Rows]:
    """The nearest rows over shards of one pool. Rows that are excluded, and later any filter, are left out here.

    Args:
        shards: All shards of a pool, or some of them.
        search: The directions, the hits of each, and the rows to leave out.

    Returns:
        ``scores_LK``, cosines, descending, and ``rows_LK``, global rows; of equal scores the lower row is first. K is
        ``num_hits``, or less where the shards hold fewer rows. Row -1 with score -inf stands where too few are left.
    """
    num_asked = search.num_hits + len(search.exclude)
    scores, rows = zip(*(shard.search(search.z_LD, num_asked) for shard in shards), strict=True)
    scores_LK, rows_LK = merge_topk(scores, rows, num_asked)
    return leave_out(scores_LK, rows_LK, search.exclude, search.num_hits) if search.exclude else (scores_LK, rows_LK)


def leave_out(scores_LK: Array, rows_LK: Rows, excluded: Sequence[int], num_hits: int) -> tuple[Array, Rows]:
    """Each direction's first ``num_hits`` hits that are not excluded, then row -1 with score -inf if they are fewer."""
    is_out_LK = np.isin(rows_LK, excluded)
    order_LK = np.argsort(is_out_LK, axis=1, kind="stable")[:, :num_hits]
    scores_Ln, rows_Ln, is_out_Ln = (np.take_along_axis(each, order_LK, 1) for each in (scores_LK, rows_LK, is_out_LK))
    return np.where(is_out_Ln, -np.inf, scores_Ln).astype(np.float32), np.where(is_out_Ln, -1, rows_Ln)


def load_index(workspace: Workspace, task: Task) -> ShardedIndex:
    """Open one task's index with its pool; files are verified against their manifests.

    Raises:
        ArtifactError: A file is tampered, truncated or missing, or index and embeddings disagree.
    """
    folder = workspace.artifact("index").path / task
    ids, emb_MD = read_embedding_table(workspace.artifact("embed").file(f"{POOLS[task]}.parquet"))
    if pq.read_table(folder / "ids.parquet")["id"].to_pylist() != ids:
        raise ArtifactError(
            str(folder / "ids.parquet"), "other ids than the embeddings", "the same rows", "run `r4t build-index`"
        )
    num_shards = len(read_index_file(folder)["offsets"]) - 1
    return ShardedIndex(tuple(load_shard(folder, number) for number in range(num_shards)), ids, emb_MD)
