"""Bodies and answers of the endpoints beside /v1/retrieve, for the server and its clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator

from r4t_ray.retrieval.filtering.filters import FilterField
from r4t_ray.retrieval.request import DEFAULT_N, MAX_ITEMS, METHODS, Method, Term
from r4t_ray.retrieval.response import (
    GENERATION,
    ErrorBody,
    FanoutDirection,
    Item,
    Message,
    ModelInfo,
    RetrieveResponse,
)
from r4t_ray.types import LivePool, Task

if TYPE_CHECKING:
    from r4t_ray.retrieval.open_task import OpenTask

MAX_BATCH = 64
MAX_VECTORS = 64
MAX_SEARCH_BYTES = 8 * 1024 * 1024
"""Limit on a body of /v1/search. A number of a vector takes 20 bytes."""
MAX_RECORDS = 256
MAX_DELETED = 1_000
POOL = Field(description="items or sets. Without sets OAR searches the items.")
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
    generation: int = GENERATION


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
    generation: int = GENERATION


class ItemResponse(Message):
    """One entry of the catalogue with its attributes."""

    request_id: str
    task: Task = Field(description="The task whose pool has it.")
    id: str
    text: str
    payload: dict[str, Any] | None = Field(description="The attributes of the item, or the items of the collection.")
    generation: int = GENERATION

    @classmethod
    def of(cls, opened: OpenTask, item_id: str, request_id: str) -> Self:
        """An entry of a task's pool."""
        row = opened.pool.row_of[item_id]
        return cls(
            request_id=request_id,
            task=opened.task,
            id=item_id,
            text=opened.pool.texts[row],
            payload=opened.attributes.payload(row) if opened.attributes else None,
            generation=opened.generation,
        )


class PoolInfo(Message):
    """What one task searches."""

    size: int = Field(description="Entries that may be found, those of `r4t add` and of live changes included.")
    dim: int = Field(description="Width of the vectors.")
    type: str = Field(description="Type of the index.")
    shards: int = Field(description="Shards of the index.")
    attributes: list[str] = Field(description="Attributes that a filter may name.")
    entries: Literal["items", "sets"] = Field(description="Whether an entry is an item or a set of items.")
    model: ModelInfo

    @classmethod
    def of(cls, opened: OpenTask) -> Self:
        """What a task searches."""
        return cls(
            size=opened.size,
            dim=opened.dim,
            type=opened.index_type,
            shards=opened.num_shards,
            attributes=list(opened.attributes.items.names if opened.attributes else ()),
            entries="items" if opened.attributes is None or opened.attributes.are_items else "sets",
            model=opened.model,
        )


class IndexResponse(Message):
    """What the server searches, by task."""

    request_id: str
    workspace: str = Field("", description="Name of the folder that is served.")
    embedding_field: str | None = Field(None, description="Field in which records of an upsert may bring vectors.")
    default_task: Task
    methods: list[Method] = Field(list(METHODS), description="Methods that a request may name.")
    tasks: dict[Task, PoolInfo]
    generation: int = GENERATION
    sequence: int = Field(0, description="Number of the last live change that this gateway has.")


class UpsertRequest(Message):
    """Entries to add, or to put in the place of those with their ids."""

    pool: LivePool = POOL
    records: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_RECORDS,
        description="Records as in the files of the catalogue: item_id, text and attributes of an item; set_id, title, "
        "description and item_ids of a set; and a vector in all of them or in none.",
    )


class DeleteRequest(Message):
    """Entries to delete."""

    pool: LivePool = POOL
    ids: list[Term] = Field(min_length=1, max_length=MAX_DELETED, description="Their ids. Unknown ones are reported.")


class ActivateRequest(Message):
    """The generation or the workspace to serve, one of the two."""

    generation: int | None = Field(
        None,
        ge=0,
        le=999_999,
        strict=True,
        description="Number of a generation. 0 is the workspace without live changes.",
    )
    workspace: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        pattern=r"^[^/\\\x00]+$",
        description="Name of a folder beside the workspace with which the server started.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.generation is None) == (self.workspace is None):
            raise ValueError("either a generation or a workspace")
        return self


class GenerationResponse(Message):
    """The generation that is served from the next request on."""

    request_id: str
    generation: int = Field(description="The generation that is served.")
    sequence: int = Field(description="Number of the last live change.")
    saved: int | None = Field(description="The generation that was written of the changes so far, or null.")
    generations: list[int] = Field(description="All generations that can be activated.")
