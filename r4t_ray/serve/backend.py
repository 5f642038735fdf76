"""Retrieval over Serve's handles: the generator, and every index shard at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ray.serve.handle import DeploymentHandle

from r4t_ray.index import Shard, merge_topk, search_shards
from r4t_ray.retrieval.compose import answer
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.picking import Searching
from r4t_ray.retrieval.request import RetrieveRequest, generation_request
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import choose_task, default_task
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.shard import packed
from r4t_ray.types import Hits, IndexName, Search, Task

Handle = DeploymentHandle[Any]

HEALTH_DEADLINE_S = 5.0


class ServeBackend:
    """Answers requests through the deployments, each request within ``args.deadline_s``.

    Args:
        args: The application's arguments.
        tasks: The tasks that are served.
        generator: Handle of the Generator deployment.
        deployed: Index -> handles of its Shard deployments; empty lists when this process searches the indexes.
        rows: Index -> first pool row of each deployed shard, and the row after its last.
        shards: Index -> the shards that this process searches. Without deployed shards it searches all. With deployed
            shards it searches only the shard of the new entries of `r4t add`, if there is one.
    """

    def __init__(
        self,
        args: AppArgs,
        *,
        tasks: Mapping[Task, OpenTask],
        generator: Handle,
        deployed: Mapping[IndexName, list[Handle]],
        rows: Mapping[IndexName, list[tuple[int, int]]],
        shards: Mapping[IndexName, tuple[Shard, ...]],
    ) -> None:
        self.tasks, self.default_task = tasks, default_task(tuple(tasks), args)
        self._args, self._generator, self._shards = args, generator, shards
        self._deployed, self._rows = deployed, rows

    async def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """Answer a validated request, by the steps of ``retrieval.retriever.retrieve``.

        Raises:
            RequestError: A task, a ``k`` or a ``guidance`` that the workspace cannot serve.
            DataError: The encoder gives a text of the request a vector that is zero or not finite.
            TimeoutError: The deadline has passed.
            BackPressureError: A deployment's queue is full.
        """
        opened = choose_task(self.tasks, request.task or self.default_task)
        generation = generation_request(request, opened)
        async with asyncio.timeout(self._args.deadline_s):
            generated = await self._generator.generate.remote(generation)
            return await self._run(answer(request, opened, generated))

    async def _run(self, searching: Searching[RetrieveResponse]) -> RetrieveResponse:
        """As ``picking.run``, with searches that are awaited. The rest runs in a thread, off the event loop."""
        hits: Hits | None = None
        while True:
            step = await asyncio.to_thread(next_step, searching, hits)
            if isinstance(step, RetrieveResponse):
                return step
            hits = await self.search(*step)

    async def search(self, name: IndexName, search: Search) -> Hits:
        """Search the deployed shards and the shards of this process at the same time.

        A mask of the pool costs one bit for each row of a shard: 125 KB for a million rows, over all shards.
        """
        deployed = zip(self._deployed[name], self._rows[name], strict=True)
        searches: list[Any] = [handle.search.remote(*packed(search, *rows)) for handle, rows in deployed]
        if self._shards[name]:
            searches.append(asyncio.to_thread(search_shards, self._shards[name], search))
        hits = await asyncio.gather(*searches)
        return merge_topk([scores_LK for scores_LK, _ in hits], [rows_LK for _, rows_LK in hits], search.num_hits)

    async def check_ready(self) -> None:
        """Return when the generator and every shard have answered; raises TimeoutError or the error of a deployment."""
        handles = [self._generator, *(handle for handles in self._deployed.values() for handle in handles)]
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            await asyncio.gather(*(handle.ready.remote() for handle in handles))


def next_step(searching: Searching[RetrieveResponse], hits: Hits | None) -> tuple[IndexName, Search] | RetrieveResponse:
    """Send the hits of the last search to a generator of searches; returns its next search, or its answer."""
    try:
        return next(searching) if hits is None else searching.send(hits)
    except StopIteration as finished:
        result: RetrieveResponse = finished.value
        return result
