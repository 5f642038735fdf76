"""The calls of a server: for each endpoint its path, its body and the type of its reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

import numpy as np
from pydantic import ValidationError

from r4t_ray.errors import RequestError
from r4t_ray.retrieval.faults import request_fault
from r4t_ray.retrieval.messages import (
    BatchResponse,
    FanoutResponse,
    IndexResponse,
    ItemResponse,
    SearchRequest,
    SearchResponse,
)
from r4t_ray.retrieval.request import Method, RetrieveRequest, parse_request
from r4t_ray.retrieval.response import ChangeResponse, Message, RetrieveResponse
from r4t_ray.types import Array, LivePool, Task

Reply = TypeVar("Reply", bound=Message)
Query = str | RetrieveRequest | None
"""A query in words, a whole request that ``parse_request`` made, or nothing beside ``like``."""
Vectors = Sequence[Sequence[float]] | Array


class Fields(TypedDict, total=False):
    """The fields of a request beside its query; ``RetrieveRequest`` has their meanings and defaults."""

    k: int
    n: int | None
    total: int | None
    offset: int | None
    seed: int
    task: Task | None
    method: Method
    mmr_lambda: float | None
    like: Sequence[str]
    avoid: Sequence[str]
    strength: float
    temperature: float
    guidance: float | None
    filter: Mapping[str, Any] | None
    max_per: Mapping[str, Any] | None
    min_relevance: float
    include_query: bool
    query_weight: float
    dedupe: bool
    with_payload: bool
    timeout_ms: int | None
    allow_partial: bool


@dataclass(frozen=True, kw_only=True)
class Call(Generic[Reply]):
    """One call: its endpoint, and the type of its reply. A call without a body is a GET."""

    path: str
    reply: type[Reply]
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str] | None = None


def retrieve_call(query: Query, fields: Mapping[str, Any]) -> Call[RetrieveResponse]:
    """POST /v1/retrieve."""
    return Call(path="/v1/retrieve", reply=RetrieveResponse, body=body_of(query, fields))


def batch_call(requests: Sequence[Mapping[str, Any] | RetrieveRequest]) -> Call[BatchResponse]:
    """POST /v1/retrieve:batch."""
    bodies = [body_of(one, {}) if isinstance(one, RetrieveRequest) else dict(one) for one in requests]
    return Call(path="/v1/retrieve:batch", reply=BatchResponse, body={"requests": bodies})


def fanout_call(query: Query, fields: Mapping[str, Any]) -> Call[FanoutResponse]:
    """POST /v1/fanout."""
    return Call(path="/v1/fanout", reply=FanoutResponse, body=body_of(query, fields))


def search_call(vectors: Vectors, **fields: Any) -> Call[SearchResponse]:
    """POST /v1/search; raises RequestError."""
    try:
        request = SearchRequest(vectors=np.asarray(vectors, np.float64).tolist(), **fields)
    except ValidationError as error:
        raise request_fault(error.errors(), SearchRequest) from None
    except ValueError as error:
        raise RequestError("vectors", str(error), "vectors of one width", "correct them") from None
    return Call(path="/v1/search", reply=SearchResponse, body=request.model_dump(by_alias=True, exclude_none=True))


def item_call(item_id: str, task: Task | None) -> Call[ItemResponse]:
    """GET /v1/items/{id}."""
    params = None if task is None else {"task": task}
    return Call(path=f"/v1/items/{quote(item_id, safe='')}", reply=ItemResponse, params=params)


def index_call() -> Call[IndexResponse]:
    """GET /v1/index."""
    return Call(path="/v1/index", reply=IndexResponse)


def upsert_call(pool: LivePool, records: Sequence[Mapping[str, Any]]) -> Call[ChangeResponse]:
    """POST /v1/admin/upsert."""
    return Call(path="/v1/admin/upsert", reply=ChangeResponse, body={"pool": pool, "records": list(records)})


def delete_call(pool: LivePool, ids: Sequence[str]) -> Call[ChangeResponse]:
    """POST /v1/admin/delete."""
    return Call(path="/v1/admin/delete", reply=ChangeResponse, body={"pool": pool, "ids": list(ids)})


def body_of(query: Query, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request that is given whole, or by its query and its fields; raises RequestError."""
    if isinstance(query, RetrieveRequest) and fields:
        raise RequestError("fields", ", ".join(fields), "none beside a RetrieveRequest", "put them into the request")
    request = query if isinstance(query, RetrieveRequest) else parse_request(query=query, **fields)
    return request.model_dump(by_alias=True, exclude_none=True)
