"""Batches of calls that need no wait: while one batch is computed, the next one collects what comes.

`serve.batch` takes its requests out of the queue before the last batch has ended. Without a time to wait, each of its
batches has one request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")


class Batches(Generic[Given, Result]):
    """Computes calls in batches, one batch at a time, in the order in which the calls came.

    Args:
        compute: The results of a batch, in its order.
        most: Most calls of a batch.
    """

    def __init__(self, compute: Callable[[list[Given]], Awaitable[list[Result]]], most: int) -> None:
        self._compute, self._most = compute, most
        self._waiting: deque[tuple[Given, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, given: Given) -> Result:
        """The result of one call. A caller that is cancelled before its batch begins is left out of it.

        Raises:
            Exception: What ``compute`` raises for the batch.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        """Compute batches until no call waits."""
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if batch := [(given, future) for given, future in taken if not future.done()]:
                await self._settle(batch)

    async def _settle(self, batch: list[tuple[Given, asyncio.Future[Result]]]) -> None:
        """Give each call of a batch its result."""
        try:
            results = await self._compute([given for given, _ in batch])
            settled = [(future, result) for (_, future), result in zip(batch, results, strict=True)]
        except Exception as error:  # every caller raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for future, result in settled:
            if not future.done():
                future.set_result(result)
