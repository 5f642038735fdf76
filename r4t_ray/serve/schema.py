"""What goes over HTTP: the request, the answer, and the one form that every error has.

The same request class guards the in-process path, so that a bad query reads alike everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from r4t_ray.diffusion import SolverName
from r4t_ray.errors import R4TError, RequestError
from r4t_ray.types import Task

MAX_QUERY_CHARS = 2_000
MAX_ITEMS = 1_000
MAX_WISHES = 16
MAX_WISH_CHARS = 200
MAX_BODY_BYTES = 32 * 1024
"""A query of 2,000 characters takes at most 24,000 bytes of JSON, every character escaped as a surrogate pair."""

EXPECTED_BODY = 'a JSON object in UTF-8, sent as application/json, such as {"query": "a summer dinner", "k": 10}'

SHOWN_CHARS = 80
"""How much of a wrong value an error repeats."""

Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY_CHARS)]
Wish = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_WISH_CHARS)]
Wishes = Annotated[tuple[Wish, ...], Field(max_length=MAX_WISHES)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class RetrieveRequest(_Message):
    """One question. ``k`` is bounded by the rows L that the loaded model generates, which the gateway checks."""

    query: Query = Field(description="What is wanted, in words.", examples=["a summer dinner by the sea"])
    k: int = Field(10, ge=1, strict=True, description="Directions to return, at most the L rows of the model.")
    n: int = Field(10, ge=1, le=MAX_ITEMS, strict=True, description="Items of each direction.")
    seed: int = Field(0, ge=0, lt=2**63, strict=True, description="The same seed gives the same answer.")
    task: Task | None = Field(None, description="oar: collections; wscr: items of one set; the server's own if absent.")
    like: Wishes = Field((), description="Ids of the catalogue, or words: what the set is drawn towards.")
    avoid: Wishes = Field((), description="Likewise, what it is pushed from; items named by id are left out.")
    strength: float = Field(0.5, ge=0, le=4, description="Of that draw and push.")
    temperature: float = Field(
        1.0, ge=0, le=10, description="Diversity: 1 is the model's own, above it sets vary more."
    )
    guidance: float | None = Field(None, ge=0, le=20, description="How closely to keep to the query; the model's own.")


class Item(_Message):
    """One item (or collection) of the catalogue; ``score`` is its cosine to the direction that found it."""

    id: str
    text: str
    score: float


class Direction(_Message):
    """One generated direction and its nearest items, best first."""

    index: int = Field(description="Position among the kept directions, 0..k-1.")
    label: str | None = Field(None, description="The language model's sub-query that is nearest to it, where known.")
    items: list[Item]


class MergedItem(Item):
    """An item of the merged set: ``score`` is the best over the directions that found it."""

    directions: list[int] = Field(description="Indices of the directions that found it.")


class ModelInfo(_Message):
    """What answered: contents of the artifacts (sha256 prefixes) and the sampler."""

    encoder: str
    index: str
    diffusion: str
    additions: str | None = Field(None, description="What `r4t add` brought (sha256 prefix), if any to this task.")
    num_added: int = Field(0, description="Entries of `r4t add` that are searched beside the index.")
    num_rows: int = Field(description="L, the rows generated; the upper bound of k.")
    solver: SolverName
    num_steps: int
    guidance: float


class RetrieveResponse(_Message):
    """k directions and the union of their items."""

    task: Task
    query: str
    seed: int
    directions: list[Direction]
    items: list[MergedItem]
    model: ModelInfo


class ErrorBody(_Message):
    """Where the fault lies, what was there, what is accepted, and what to do."""

    where: str
    got: str
    expected: str
    fix: str


class ErrorResponse(_Message):
    """The body of every reply that is not 2xx."""

    error: ErrorBody


def error_response(where: str, got: str, expected: str, fix: str) -> dict[str, Any]:
    """The JSON body of an error, ASCII-safe whatever the request held (lone surrogates included)."""
    fields = {"where": where, "got": got, "expected": expected, "fix": fix}
    return {"error": {name: text.encode("utf-8", "backslashreplace").decode() for name, text in fields.items()}}


def error_of(error: R4TError) -> dict[str, Any]:
    """The JSON body of one of the package's own errors."""
    return error_response(error.where, error.got, error.expected, error.fix)


def shown(value: object) -> str:
    """``repr`` of a wrong value, shortened to SHOWN_CHARS with its full length."""
    text = repr(value[: 2 * SHOWN_CHARS] if isinstance(value, str | bytes) else value)
    if len(text) <= SHOWN_CHARS:
        return text
    length = f" ({len(value):,} characters)" if isinstance(value, str | bytes) else ""
    return f"{text[:SHOWN_CHARS]}...{length}"


def request_fault(faults: Sequence[Mapping[str, Any]]) -> RequestError:
    """One RequestError of pydantic's list of faults: the first in full, the others by name.

    Args:
        faults: ``ValidationError.errors()``, or FastAPI's, whose locations begin with ``"body"``.
    """
    names = [_place(fault) for fault in faults]
    also = sorted(set(names[1:]) - {names[0]})
    fix = f"correct {names[0]}" + (f"; also wrong: {', '.join(also)}" if also else "") + "; see /docs"
    return RequestError(names[0][:SHOWN_CHARS], _got(faults[0]), _expected(faults[0]), fix[: 4 * SHOWN_CHARS])


def parse_request(**fields: Any) -> RetrieveRequest:
    """Validate the fields of a request made in this process; raises RequestError."""
    try:
        return RetrieveRequest.model_validate(fields)
    except ValidationError as error:
        raise request_fault(error.errors()) from None


def _place(fault: Mapping[str, Any]) -> str:
    inside = [str(part) for part in fault["loc"] if part != "body"]
    if fault["type"] == "json_invalid":
        return f"body, character {inside[0]}" if inside else "body"
    return ".".join(inside) or "body"


def _got(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "missing":
        return "nothing"
    if fault["type"] == "json_invalid":
        return f"invalid JSON ({fault.get('ctx', {}).get('error', 'unreadable')})"
    return shown(fault.get("input"))


def _expected(fault: Mapping[str, Any]) -> str:
    if fault["type"] in ("json_invalid", "model_attributes_type") or _place(fault) == "body":
        return EXPECTED_BODY
    if fault["type"] == "extra_forbidden":
        return f"one of {', '.join(RetrieveRequest.model_fields)}"
    return str(fault["msg"])
