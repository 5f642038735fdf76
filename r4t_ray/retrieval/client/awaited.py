"""The client whose answers are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self, Unpack

import httpx

from r4t_ray.retrieval.client.calls import (
    Call,
    Fields,
    Query,
    Reply,
    Vectors,
    batch_call,
    delete_call,
    fanout_call,
    index_call,
    item_call,
    retrieve_call,
    search_call,
    upsert_call,
)
from r4t_ray.retrieval.client.connection import LOST, Server, Tries
from r4t_ray.retrieval.messages import BatchResponse, FanoutResponse, IndexResponse, ItemResponse, SearchResponse
from r4t_ray.retrieval.request import DEFAULT_N, RetrieveRequest
from r4t_ray.retrieval.response import ChangeResponse, RetrieveResponse
from r4t_ray.types import LivePool, Task


class AsyncClient(Server):
    """As ``Client``, for one event loop: every call is awaited, and many may be on their way at the same time."""

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**self._options)

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        await self._http.aclose()
        del self._http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *fault: object) -> None:
        await self.close()

    async def _ask(self, call: Call[Reply]) -> Reply:
        tries = Tries(self._timeout_s)
        while True:
            with self._faults(call):
                try:
                    async with asyncio.timeout(tries.left_s):  # httpx limits each phase alone
                        reply = await self._http.request(**self._sent(call, tries.left_s))
                except LOST:
                    if tries.may_be_lost():
                        continue
                    raise
            wait_s = tries.wait_s(reply)
            if wait_s is None:
                return self._read(call, reply)
            await asyncio.sleep(wait_s)

    async def retrieve(self, query: Query = None, **fields: Unpack[Fields]) -> RetrieveResponse:
        """As ``Client.retrieve``."""
        return await self._ask(retrieve_call(query, fields))

    async def retrieve_batch(self, requests: Sequence[Mapping[str, Any] | RetrieveRequest]) -> BatchResponse:
        """As ``Client.retrieve_batch``."""
        return await self._ask(batch_call(requests))

    async def fanout(self, query: Query = None, **fields: Unpack[Fields]) -> FanoutResponse:
        """As ``Client.fanout``."""
        return await self._ask(fanout_call(query, fields))

    async def search(
        self,
        vectors: Vectors,
        *,
        task: Task | None = None,
        n: int = DEFAULT_N,
        filter: Mapping[str, Any] | None = None,
        with_payload: bool = False,
    ) -> SearchResponse:
        """As ``Client.search``."""
        return await self._ask(search_call(vectors, task=task, n=n, filter=filter, with_payload=with_payload))

    async def item(self, item_id: str, task: Task | None = None) -> ItemResponse:
        """As ``Client.item``."""
        return await self._ask(item_call(item_id, task))

    async def index(self) -> IndexResponse:
        """As ``Client.index``."""
        return await self._ask(index_call())

    async def upsert(self, pool: LivePool, records: Sequence[Mapping[str, Any]]) -> ChangeResponse:
        """Add entries, or replace those with their ids.

        Args:
            pool: "items" or "sets".
            records: Records as in the files of a catalogue, at most 256 in 128 KiB.
        """
        return await self._ask(upsert_call(pool, records))

    async def delete(self, pool: LivePool, ids: Sequence[str]) -> ChangeResponse:
        """Delete entries, at most 1,000. Unknown ids are reported."""
        return await self._ask(delete_call(pool, ids))
