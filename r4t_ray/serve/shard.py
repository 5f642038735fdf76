"""The shard deployment: one shard of one index. It returns pool rows and scores, never vectors."""

from __future__ import annotations

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.index import load_shard
from r4t_ray.retrieval.loading import folder_of_index
from r4t_ray.serve.args import AppArgs
from r4t_ray.types import Hits, IndexName, Search


def shard_name(index: IndexName, number: int) -> str:
    """Name of a shard's deployment. Replicas of a deployment are interchangeable, so each shard is a deployment."""
    return f"shard_{index}_{number:03d}"


@serve.deployment
class Shard:
    """Searches one shard. Serve runs ``search`` in a thread, off the event loop.

    Args:
        args: The application's arguments, their workspace absolute.
        index: Name of the index.
        number: Number of the shard.
    """

    def __init__(self, args: AppArgs, index: IndexName, number: int) -> None:
        self._shard = load_shard(folder_of_index(Workspace(args.workspace), index), number)

    def search(self, search: Search) -> Hits:
        """All directions of a request in one call.

        Returns:
            Scores and global pool rows, both L x K with K at most ``search.num_hits``, best first.
        """
        return self._shard.search(search)

    def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the shard."""
        return True
