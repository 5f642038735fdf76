"""The client that waits for its answers."""

from __future__ import annotations

import time
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


class Client(Server):
    """Asks a running server. It may be shared by threads. Its connections stay open until ``close``.

    Every call raises RequestError if the server refused it (with the server's message), was busy to the end, or is not
    there; DeadlineError if there was no answer in time; and MachineError if the proxy that the environment names cannot
    be used.
    """

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(**self._options)

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        self._http.close()
        del self._http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def _ask(self, call: Call[Reply]) -> Reply:
        tries = Tries(self._timeout_s)
        while True:
            with self._faults(call):
                try:
                    reply = self._http.request(**self._sent(call, tries.left_s))
                except LOST:
                    if tries.may_be_lost():
                        continue
                    raise
            wait_s = tries.wait_s(reply)
            if wait_s is None:
                return self._read(call, reply)
            time.sleep(wait_s)

    def retrieve(self, query: Query = None, **fields: Unpack[Fields]) -> RetrieveResponse:
        """Directions for a query, their items, and the union of the items; see ``Retriever.retrieve``.

        Args:
            query: The query in words, or a whole request that ``parse_request`` made.
            fields: The other fields of the request.
        """
        return self._ask(retrieve_call(query, fields))

    def retrieve_batch(self, requests: Sequence[Mapping[str, Any] | RetrieveRequest]) -> BatchResponse:
        """Answers to at most 64 requests in one pass of the models, each with its own answer or error.

        Args:
            requests: The fields of each request, ``query`` among them. The server checks them.
        """
        return self._ask(batch_call(requests))

    def fanout(self, query: Query = None, **fields: Unpack[Fields]) -> FanoutResponse:
        """The directions of a request without their items. The arguments are those of ``retrieve``."""
        return self._ask(fanout_call(query, fields))

    def search(
        self,
        vectors: Vectors,
        *,
        task: Task | None = None,
        n: int = DEFAULT_N,
        filter: Mapping[str, Any] | None = None,
        with_payload: bool = False,
    ) -> SearchResponse:
        """The n nearest items of each vector, by cosine.

        Args:
            vectors: At most 64 vectors, shape (L, D).
            task: Whose pool is searched. Default: the default task of the server.
            n: Items of each vector.
            filter: Only items with these attributes are found.
            with_payload: Whether the answer has the attributes of its items.
        """
        return self._ask(search_call(vectors, task=task, n=n, filter=filter, with_payload=with_payload))

    def item(self, item_id: str, task: Task | None = None) -> ItemResponse:
        """One entry of the catalogue, of the task's pool or of the first pool that has it."""
        return self._ask(item_call(item_id, task))

    def index(self) -> IndexResponse:
        """The pools that the server searches, their indexes and attributes, and the models that answer."""
        return self._ask(index_call())

    def upsert(self, pool: LivePool, records: Sequence[Mapping[str, Any]]) -> ChangeResponse:
        """Add entries, or replace those with their ids.

        Args:
            pool: "items" or "sets".
            records: Records as in the files of a catalogue, at most 256 in 128 KiB.
        """
        return self._ask(upsert_call(pool, records))

    def delete(self, pool: LivePool, ids: Sequence[str]) -> ChangeResponse:
        """Delete entries, at most 1,000. Unknown ids are reported."""
        return self._ask(delete_call(pool, ids))
