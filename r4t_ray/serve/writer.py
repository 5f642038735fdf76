"""The writer deployment: one replica makes live changes durable, one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, embedding_field, given_entries
from r4t_ray.errors import ArtifactError, DataError, MachineError, R4TError, RequestError
from r4t_ray.live import LiveWriter
from r4t_ray.live.writer import KEYS, Activated, Written
from r4t_ray.new_entries import entries_of_pool
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.lookups import FAULTS, Handle
from r4t_ray.types import Array, LivePool

T = TypeVar("T")


@serve.deployment
class Writer:
    """Checks the records of upserts, has them embedded by the generator, and writes changes in their order.

    The log is opened by the first change, so a workspace that is never changed needs no disk that can be written.

    Args:
        args: The application's arguments, their workspace absolute.
        generator: Handle of the Generator deployment.
    """

    def __init__(self, args: AppArgs, generator: Handle) -> None:
        self._workspace, self._generator = Workspace(args.workspace), generator
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._live: LiveWriter | None = None

    async def upsert(self, pool: LivePool, records: Sequence[dict[str, Any]]) -> Written:
        """Add entries, or replace those with their ids.

        Raises:
            RequestError: A record cannot be used; ``where`` is its place.
            DataError: The encoder gives a text a vector that is zero or not finite.
            MachineError, ArtifactError: The log cannot be written.
        """
        new, given = await asyncio.to_thread(self._checked, pool, records)
        task, _ = KEYS[pool]
        texts = entries_of_pool(new, task)[1]
        try:
            emb_MD = await self._generator.embed.remote(texts, given.get(pool), task)
        except R4TError as error:
            cause = getattr(error, "cause", error)  # Ray wraps what a replica raised
            if pool in given and isinstance(cause, DataError):
                raise RequestError("records", *cause.args[1:]) from None
            raise type(cause)(*cause.args) from None
        except FAULTS as error:
            got = f"no embeddings ({type(error).__name__})"
            raise MachineError("the generator", got, "a replica that answers", "try again") from None
        return await self._in_turn(lambda live: live.upsert(pool, new, emb_MD))

    async def delete(self, pool: LivePool, ids: Sequence[str]) -> Written:
        """Delete entries. Raises RequestError, MachineError or ArtifactError."""
        return await self._in_turn(lambda live: live.delete(pool, ids))

    async def snapshot(self) -> Activated:
        """Write the live entries as a new generation. Raises MachineError or ArtifactError."""
        return await self._in_turn(lambda live: live.snapshot())

    async def activate(self, generation: int) -> Activated:
        """Serve another generation. Raises RequestError, MachineError or ArtifactError."""
        return await self._in_turn(lambda live: live.activate(generation))

    def close(self) -> None:
        """Let another process write."""
        if self._live is not None:
            self._live.close()
        self._live = None

    def _checked(self, pool: LivePool, records: Sequence[dict[str, Any]]) -> tuple[Catalogue, dict[str, Array]]:
        try:
            return given_entries(pool, records, embedding_field(self._workspace))
        except DataError as error:
            raise RequestError(*error.args) from None

    async def _in_turn(self, change: Callable[[LiveWriter], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._changed, change)

    def _changed(self, change: Callable[[LiveWriter], T]) -> T:
        if self._live is None:
            self._live = LiveWriter(self._workspace)
        try:
            return change(self._live)
        except (MachineError, ArtifactError):
            self.close()
            raise
