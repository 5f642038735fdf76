"""Bodies and answers of the endpoints beside /v1/retrieve."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from r4t_ray.retrieval.filtering.filters import FilterField
from r4t_ray.retrieval.request import DEFAULT_N, MAX_ITEMS
from r4t_ray.retrieval.response import ErrorBody, FanoutDirection, Item, Message, ModelInfo, RetrieveResponse
from r4t_ray.types import Task

MAX_BATCH = 64
MAX_VECTORS = 64
ONE_REQUEST = WithJsonSchema({"$ref": "#/components/schemas/RetrieveRequest"})


class BatchRequest(Message):
    """Requests that share one pass of the models. Each is checked by itself."""

    requests: list[Annotated[Any, ONE_REQUEST]] = Field(
        min_length=1, max_length=MAX_BATCH, description="Bodies of /v1/retrieve."
    )


class BatchEntry(Message):
    """The answer to one request of a batch, or its error."""

    status: int = Field(description="The status that /v1/retrieve gives: 200 for an answer.")
    answer: RetrieveResponse | None = Field(None, description="The answer, or null.")
    error: ErrorBody | None = Field(None, description="The error, or null.")


class BatchResponse(Message):
    """The answers to a batch, in the order of its requests."""

    request_id: str = Field(description="Id of the batch. Entry i has this id with /i at its end.")
    answers: list[BatchEntry]


class FanoutResponse(Message):
    """The directions of a request without their items."""

    request_id: str
    task: Task
    query: str | None
    directions: list[FanoutDirection]
    model: ModelInfo


class SearchRequest(Message):
    """A search by vectors of the caller."""

    vectors: list[Annotated[list[Annotated[float, Field(strict=True)]], Field(min_length=1, max_length=8_192)]] = Field(
        min_length=1, max_length=MAX_VECTORS, description="Vectors as wide as the index. Their length does not count."
    )
    task: Task | None = Field(None, description="Whose pool is searched. Default: the default task of the server.")
    n: int = Field(DEFAULT_N, ge=1, le=MAX_ITEMS, strict=True, description="Items of each vector.")
    filter: FilterField | None = Field(None, description="Only items with these attributes are found.")
    with_payload: bool = Field(False, strict=True, description="Whether the answer has the attributes of its items.")


class SearchResponse(Message):
    """The nearest items of each vector; the score is the cosine."""

    request_id: str
    task: Task
    results: list[list[Item]]


class ItemResponse(Message):
    """One entry of the catalogue with its attributes."""

    request_id: str
    task: Task = Field(description="The task whose pool has it.")
    id: str
    text: str
    payload: dict[str, Any] | None = Field(description="The attributes of the item, or the items of the collection.")


class PoolInfo(Message):
    """What one task searches."""

    size: int = Field(description="Entries of the pool, new entries included.")
    dim: int = Field(description="Width of the vectors.")
    type: str = Field(description="Type of the index.")
    shards: int = Field(description="Shards of the index.")
    attributes: list[str] = Field(description="Attributes that a filter may name.")
    model: ModelInfo


class IndexResponse(Message):
    """What the server searches, by task."""

    request_id: str
    default_task: Task
    tasks: dict[Task, PoolInfo]
