"""The shard deployment: one shard of one index. It returns pool rows and scores, never vectors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.index import Shard as LoadedShard
from r4t_ray.index import load_shard
from r4t_ray.machine.threads import limit_threads
from r4t_ray.retrieval.live.versions import Loaded, served_workspace
from r4t_ray.retrieval.loading import folder_of_index, tuned_point
from r4t_ray.serve.args import AppArgs
from r4t_ray.types import Array, Hits, IndexName, Rows, Search

Bits = NDArray[np.uint8]


def packed(search: Search, first: int, stop: int) -> tuple[Search, Bits | None]:
    """A search for one shard, its mask of the pool packed into the bits of the rows from ``first`` to ``stop``."""
    if search.where is None or search.where.dtype != np.bool_:
        return search, None
    return replace(search, where=None), np.packbits(search.where[first:stop])


def search_packed(shard: LoadedShard, search: Search, allowed: Bits | None) -> Hits:
    """Search a shard with the mask that ``packed`` made."""
    if allowed is not None:
        where = np.zeros(shard.offset + shard.size, dtype=bool)
        where[shard.offset :] = np.unpackbits(allowed, count=shard.size)
        search = replace(search, where=where)
    return shard.search(search)


def shard_name(index: IndexName, number: int) -> str:
    """Name of a shard's deployment. Replicas of a deployment are interchangeable, so each shard is a deployment."""
    return f"shard_{index}_{number:03d}"


def load_shard_of(workspace: Workspace, index: IndexName, number: int) -> LoadedShard:
    """One shard of a workspace; raises ArtifactError."""
    return load_shard(folder_of_index(workspace, index), number, tuned_point(workspace, index))


@serve.deployment
class Shard:
    """Searches one shard. Serve runs ``search`` in a thread, off the event loop.

    Args:
        args: The application's arguments, their workspace absolute.
        index: Name of the index.
        number: Number of the shard.
    """

    def __init__(self, args: AppArgs, index: IndexName, number: int) -> None:
        self._shards = Loaded(partial(load_shard_of, index=index, number=number))
        self.prepare(str(served_workspace(Workspace(args.workspace)).root))
        limit_threads(args.shard.cpus)

    def prepare(self, root: str) -> None:
        """Load the shard of another workspace beside this one. Raises ArtifactError."""
        self._shards[root]

    def release(self, root: str) -> None:
        """Forget the shards of other workspaces."""
        self._shards.keep(root)

    def search(self, search: Search, allowed: Bits | None, root: str) -> Hits:
        """All directions of a request in one call.

        Args:
            search: A search of the pool. A mask of the pool comes as ``allowed``.
            allowed: Which rows of this shard may be found, one bit each, from ``packed``.
            root: The folder of the workspace that the request sees.

        Returns:
            Scores and global pool rows, both L x K with K at most ``search.num_hits``, best first.
        """
        return search_packed(self._shards[root], search, allowed)

    def vectors(self, rows: Rows, root: str) -> tuple[Rows, Array]:
        """The rows that this shard has among the given ones, and their embeddings, in the workspace at ``root``."""
        return self._shards[root].vectors(rows)

    def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the shard."""
        return True
