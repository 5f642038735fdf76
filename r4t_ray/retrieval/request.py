"""The request: its fields and limits. ``generation`` makes the generation request of it, ``compose`` its searches.

The same class validates requests over HTTP and requests in this process. Both get the same error messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from r4t_ray.errors import RequestError
from r4t_ray.ids import MAX_ID_CHARS
from r4t_ray.retrieval.faults import request_fault, shown
from r4t_ray.retrieval.filtering.filters import FilterField, MaxPer
from r4t_ray.retrieval.response import Message
from r4t_ray.types import Task

MAX_QUERY_CHARS = 2_000
MAX_ITEMS = 1_000
DEFAULT_N = 10
"""Items per direction of a request that names neither ``n`` nor ``total``."""
MAX_LISTED = 10 * MAX_ITEMS
"""Most items that the directions list together, k * n. The time of a request of wscr grows with k * (k * n)."""
MAX_TERMS = 16
MAX_TIMEOUT_MS = 600_000
MAX_BODY_BYTES = 128 * 1024
"""The longest query and the longest terms have 8,400 characters. If JSON escapes each as a surrogate pair, they take
100,800 bytes."""

QueryText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY_CHARS)]
Term = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ID_CHARS)]
Method = Literal["diffusion", "none", "mmr", "folm"]
METHODS: tuple[Method, ...] = ("diffusion", "mmr", "none")
"""The methods that need no language model."""
Terms = Annotated[tuple[Term, ...], Field(max_length=MAX_TERMS)]


LOG_FIELDS = ("method", "mmr_lambda", "offset", "min_relevance", "include_query", "query_weight", "dedupe")
"""Fields that `r4t retrieve` sets by ``--field``."""
QUERY_FIELDS = (*LOG_FIELDS, "with_payload", "timeout_ms", "allow_partial")
"""Fields that `r4t query` sets by ``--field``, because it has no option for each."""


class RetrieveRequest(Message):
    """One request. The upper bound of ``k`` depends on the model; ``generation_request`` checks it."""

    query: QueryText | None = Field(
        None,
        description="The query, in words. It may be left out if `like` names ids: the answer completes these entries.",
        examples=["a summer dinner by the sea"],
    )
    k: int = Field(
        10,
        ge=1,
        strict=True,
        description="Number of directions to return, at most what /healthz reports as num_rows.",
    )
    n: int | None = Field(
        None,
        ge=1,
        le=MAX_ITEMS,
        strict=True,
        description=f"Number of items per direction. k * n is at most {MAX_LISTED:,}. Default: {DEFAULT_N}, unless "
        "`total` is given.",
    )
    total: int | None = Field(
        None,
        ge=1,
        le=MAX_ITEMS,
        strict=True,
        description="Number of items of the whole answer, in place of `n`: the best ones over all directions. Each "
        "stands under the direction that is nearest to it.",
    )
    offset: int | None = Field(
        None,
        ge=0,
        lt=MAX_ITEMS,
        strict=True,
        description="With `total`: leave out so many of the best items. Pages whose requests state it, 0 included, do "
        f"not overlap. offset + total is at most {MAX_ITEMS:,}. Default: the first page.",
    )
    seed: int = Field(0, ge=0, lt=2**63, strict=True, description="Random seed. The same seed gives the same answer.")
    task: Task | None = Field(
        None,
        description="oar retrieves collections (items if the catalogue has no sets), wscr the items of one set. "
        "Default: the default task of the server.",
    )
    method: Method = Field(
        "diffusion",
        description="Where the items come from. diffusion: the generated directions. none: the nearest entries of the "
        "query. mmr: maximal marginal relevance over the nearest entries. none and mmr have one direction, the query, "
        "and score an item by its cosine to the query. folm: the sub-queries that the language model writes, at most "
        "k, where the server deploys one; a temperature above 1 varies them more.",
    )
    mmr_lambda: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        description="With method mmr: the weight of relevance, from 0 (novelty alone) to 1 (relevance alone). Default: "
        "serve.mmr_lambda.",
    )
    like: Terms = Field((), description="Ids of the catalogue, or words. The directions are pulled towards them.")
    avoid: Terms = Field(
        (),
        description="Ids of the catalogue, or words. The directions are pushed away from them. "
        "Items named by id are left out of the answer.",
    )
    strength: float = Field(
        0.5, ge=0, le=4, strict=True, description="Strength of the pull towards `like` and the push from `avoid`."
    )
    temperature: float = Field(
        1.0,
        ge=0,
        le=10,
        strict=True,
        description="Factor of the weight of diversity, for the solver top_anchors: 0 takes the most likely "
        "directions. For other solvers it is a factor of the noise. Above 1, sets for different seeds differ.",
    )
    guidance: float | None = Field(
        None, ge=0, le=20, strict=True, description="Classifier-free guidance strength. Default: the model's."
    )
    filter: FilterField | None = Field(
        None,
        description="Only items with these attributes are found. Default: all items.",
        examples=[{"and": [{"eq": ["category", "tops"]}, {"range": ["price", {"lt": 50}]}]}],
    )
    max_per: MaxPer | None = Field(
        None,
        description="At most so many items of the answer have the same value of an attribute. Default: no limit.",
        examples=[{"attribute": "category", "n": 2}],
    )
    min_relevance: float = Field(
        0.0,
        ge=0,
        lt=100,
        strict=True,
        description="Entries below this percentile of the query's cosines to the pool are left out. 90 keeps the tenth "
        "of the pool that is nearest to the query. Default: 0, all entries.",
    )
    include_query: bool = Field(False, strict=True, description="Whether the query is one more direction, the last.")
    query_weight: float = Field(
        1.0,
        gt=0,
        le=4,
        strict=True,
        description="With `include_query`: factor of the cosines to the query. Above 1 it wins more items.",
    )
    dedupe: bool = Field(
        False,
        strict=True,
        description="Whether of items with the same text only the best is kept. Case, width and white space of texts "
        "do not count.",
    )
    with_payload: bool = Field(False, strict=True, description="Whether the answer has the attributes of its items.")
    timeout_ms: int | None = Field(
        None,
        ge=1,
        le=MAX_TIMEOUT_MS,
        strict=True,
        description="Milliseconds after which the request fails (HTTP 504). Default: the server's deadline, which also "
        "bounds it.",
    )
    allow_partial: bool = Field(
        False,
        strict=True,
        description="Whether to answer from the other shards if a shard is down or slow. `partial` and `shards` of the "
        "answer tell. It waits for a shard at most half of the time that is left.",
    )

    @field_validator("n")
    @classmethod
    def _few_in_all(cls, n: int | None, info: ValidationInfo) -> int | None:
        if n is not None and n * info.data.get("k", 1) > MAX_LISTED:
            raise ValueError(f"k * n of at most {MAX_LISTED:,}; `total` lists the best items of any k")
        return n

    @field_validator("total")
    @classmethod
    def _not_beside_n(cls, total: int | None, info: ValidationInfo) -> int | None:
        if total is not None and info.data.get("n") is not None:
            raise ValueError("n or total, not both")
        return total

    @field_validator("offset")
    @classmethod
    def _in_one_list(cls, offset: int | None, info: ValidationInfo) -> int | None:
        if offset is not None and "total" in info.data:
            total = info.data["total"]
            if total is None or offset + total > MAX_ITEMS:
                raise ValueError(f"offset beside total, together at most {MAX_ITEMS:,}")
        return offset

    @field_validator("mmr_lambda")
    @classmethod
    def _with_mmr(cls, mmr_lambda: float | None, info: ValidationInfo) -> float | None:
        if mmr_lambda is not None and info.data.get("method") != "mmr":
            raise ValueError("none without method mmr")
        return mmr_lambda

    @model_validator(mode="after")
    def _has_a_query(self) -> Self:
        if self.query is None and not self.like:
            raise PydanticCustomError("no_query", "a query, or ids of the catalogue in `like`")
        if self.query is None and self.method == "folm":
            raise PydanticCustomError("no_query", "a query, because method folm rewrites it")
        return self

    @property
    def has_fan_out(self) -> bool:
        """Whether the answer has several directions; else its one direction is the query."""
        return self.method in ("diffusion", "folm")

    @property
    def depth(self) -> int | None:
        """Items of the ranking from which the page of ``total`` items is cut; None without ``total``.

        All pages are cut from the same ranking, because an approximate index may rank a deeper search in another way.
        """
        return self.total if self.offset is None else MAX_ITEMS

    @property
    def items_per_direction(self) -> int | None:
        """``n`` or its default. None if ``total`` is given."""
        return None if self.total else self.n or DEFAULT_N


def parse_request(**fields: Any) -> RetrieveRequest:
    """Validate the fields of a request made in this process; raises RequestError."""
    try:
        return RetrieveRequest.model_validate(fields)
    except ValidationError as error:
        raise request_fault(error.errors(), RetrieveRequest) from None


def fields_of(options: Iterable[str], names: Sequence[str]) -> dict[str, Any]:
    """Fields written as ``NAME=VALUE`` on the command line, the values as JSON or text. Raises RequestError."""
    fields: dict[str, Any] = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign or name not in names:
            expected = f"NAME=VALUE, the name one of {', '.join(names)}"
            raise RequestError("--field", shown(option), expected, "correct it, or use the option of that name")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields
