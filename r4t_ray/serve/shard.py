"""The shard deployment: one index shard of one task. It returns pool rows and cosines, never vectors."""

from __future__ import annotations

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.index import load_shard
from r4t_ray.serve.args import AppArgs
from r4t_ray.types import Array, Rows, Search, Task


def shard_name(task: Task, number: int) -> str:
    """Name of a shard's deployment. Replicas of a deployment are interchangeable, so each shard is a deployment."""
    return f"shard_{task}_{number:03d}"


@serve.deployment
class Shard:
    """Searches one shard. Serve runs ``search`` in a thread, off the event loop.

    Args:
        args: The application's arguments, their workspace absolute.
        task: The task of the index.
        number: Number of the shard.
    """

    def __init__(self, args: AppArgs, task: Task, number: int) -> None:
        self._shard = load_shard(Workspace(args.workspace).artifact("index").path / task, number)

    def search(self, search: Search) -> tuple[Array, Rows]:
        """All directions of a request in one call.

        Returns:
            Cosines and global pool rows, both L x K with K at most ``search.num_hits``, best first.
        """
        return self._shard.search(search)

    def ready(self) -> bool:
        """True. A replica answers calls only after its constructor, which loads the shard."""
        return True
