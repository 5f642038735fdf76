"""What the gateway does with a request: ask the generator, search every shard at once, merge, compose."""

from __future__ import annotations

import asyncio
from typing import Any

from ray.serve.handle import DeploymentHandle

from r4t_ray.index import merge_topk
from r4t_ray.serve.answer import check_k
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.schema import RetrieveRequest, RetrieveResponse
from r4t_ray.serve.served_task import ServedTask, choose_task
from r4t_ray.types import Array, Rows, Task

Handle = DeploymentHandle[Any]

HEALTH_DEADLINE_S = 5.0


class Scatter:
    """Answers within its own deadline.

    Args:
        args: The application's arguments.
        tasks: What is served, with its whole pool's shards where there are none to ask.
        generator: Handle of the Generator deployment.
        shards: Task -> handles of its Shard deployments; empty lists when the index is searched in this process.
    """

    def __init__(
        self, args: AppArgs, tasks: dict[Task, ServedTask], generator: Handle, shards: dict[Task, list[Handle]]
    ) -> None:
        self._args, self.tasks, self._generator, self._shards = args, tasks, generator, shards

    async def answer(self, request: RetrieveRequest) -> RetrieveResponse:
        """The response to a validated request.

        Raises:
            RequestError: A task or a k that the workspace cannot serve.
            TimeoutError: The deadline has passed.
            BackPressureError: A deployment's queue is full.
        """
        served = choose_task(self.tasks, request.task or self._args.default_task)
        check_k(request.k, served.model.num_rows)
        async with asyncio.timeout(self._args.deadline_s):
            z_LD = await self._generator.generate.remote(served.ask(request))
            scores_LK, rows_LK = await self._search(served, z_LD, served.num_hits(request))
            return await asyncio.to_thread(served.compose, request, z_LD, scores_LK, rows_LK)

    async def check_ready(self) -> None:
        """Return once the generator and every shard have answered; raises TimeoutError or the deployment's fault."""
        handles = [self._generator, *(shard for shards in self._shards.values() for shard in shards)]
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            await asyncio.gather(*(handle.ready.remote() for handle in handles))

    async def _search(self, served: ServedTask, z_LD: Array, n: int) -> tuple[Array, Rows]:
        """The deployed shards and those of this process, side by side."""
        searches: list[Any] = [shard.search.remote(z_LD, n) for shard in self._shards[served.task]]
        if served.shards:
            searches.append(asyncio.to_thread(served.search, z_LD, n))
        hits = await asyncio.gather(*searches)
        return merge_topk([scores_LK for scores_LK, _ in hits], [rows_LK for _, rows_LK in hits], n)
