"""The request: its fields and limits, and the generation request and the search that are made from it.

The same class validates requests over HTTP and requests in this process. Both get the same error messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from r4t_ray.diffusion import SOLVERS
from r4t_ray.errors import RequestError
from r4t_ray.ids import MAX_ID_CHARS
from r4t_ray.retrieval.filtering.filters import Bounds, Filter, MaxPer, check_attributes, checked_depth, checked_size
from r4t_ray.retrieval.open_task import OpenTask, Pool
from r4t_ray.retrieval.response import Message
from r4t_ray.types import Array, Task, TextKind

MAX_QUERY_CHARS = 2_000
MAX_ITEMS = 1_000
DEFAULT_N = 10
"""Items per direction of a request that names neither ``n`` nor ``total``."""
MAX_TERMS = 16
MAX_BODY_BYTES = 128 * 1024
"""The longest query and the longest terms have 8,400 characters. If JSON escapes each as a surrogate pair, they take
100,800 bytes."""

EXPECTED_BODY = 'a JSON object in UTF-8, sent as application/json, such as {"query": "a summer dinner", "k": 10}'

SHOWN_CHARS = 80
"""Characters of a wrong value that an error repeats."""

QueryText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY_CHARS)]
Term = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ID_CHARS)]
Terms = Annotated[tuple[Term, ...], Field(max_length=MAX_TERMS)]


class RetrieveRequest(Message):
    """One request. The upper bound of ``k`` depends on the model; ``generation_request`` checks it."""

    query: QueryText = Field(description="The query, in words.", examples=["a summer dinner by the sea"])
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
        description=f"Number of items per direction. Default: {DEFAULT_N}, unless `total` is given.",
    )
    total: int | None = Field(
        None,
        ge=1,
        le=MAX_ITEMS,
        strict=True,
        description="Number of items of the whole answer, in place of `n`: the best ones over all directions. Each "
        "stands under the direction that is nearest to it.",
    )
    seed: int = Field(0, ge=0, lt=2**63, strict=True, description="Random seed. The same seed gives the same answer.")
    task: Task | None = Field(
        None,
        description="oar retrieves collections (items if the catalogue has no sets), wscr the items of one set. "
        "Default: the default task of the server.",
    )
    like: Terms = Field((), description="Ids of the catalogue, or words. The directions are pulled towards them.")
    avoid: Terms = Field(
        (),
        description="Ids of the catalogue, or words. The directions are pushed away from them. "
        "Items named by id are left out of the answer.",
    )
    strength: float = Field(
        0.5, ge=0, le=4, description="Strength of the pull towards `like` and the push from `avoid`."
    )
    temperature: float = Field(
        1.0, ge=0, le=10, description="Factor of the noise. Above 1, sets for different seeds differ more."
    )
    guidance: float | None = Field(
        None, ge=0, le=20, description="Classifier-free guidance strength. Default: the model's."
    )
    filter: Annotated[Filter, BeforeValidator(checked_depth), AfterValidator(checked_size)] | None = Field(
        None,
        description="Only items with these attributes are found. Default: all items.",
        examples=[{"and": [{"eq": ["category", "tops"]}, {"range": ["price", {"lt": 50}]}]}],
    )
    max_per: MaxPer | None = Field(
        None,
        description="At most so many items of the answer have the same value of an attribute. Default: no limit.",
        examples=[{"attribute": "category", "n": 2}],
    )
    with_payload: bool = Field(False, strict=True, description="Whether the answer has the attributes of its items.")

    @field_validator("total")
    @classmethod
    def _not_beside_n(cls, total: int | None, info: ValidationInfo) -> int | None:
        if total is not None and info.data.get("n") is not None:
            raise ValueError("n or total, not both")
        return total

    @property
    def items_per_direction(self) -> int | None:
        """``n`` or its default. None if ``total`` is given."""
        return None if self.total else self.n or DEFAULT_N


class Generated(NamedTuple):
    """What the generator makes of one request: the query's unit embedding (D,) and the directions z_LD, unit rows."""

    z_q_D: Array
    z_LD: Array


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """The part of a request that the generator needs. The steering terms ``like`` and ``avoid`` are texts, not ids.

    The generator makes ``k`` directions or more.
    """

    task: Task
    query: str
    seed: int
    temperature: float = 1.0
    guidance: float | None = None
    strength: float = 0.0
    like: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    k: int = 1

    @property
    def texts(self) -> list[str]:
        """The texts to encode: the query, then ``like``, then ``avoid``."""
        return [self.query, *self.like, *self.avoid]

    @property
    def kinds(self) -> list[TextKind]:
        """The kinds of ``texts``. Terms are embedded as the entries of the pool are."""
        terms: list[TextKind] = ["document"] * (len(self.like) + len(self.avoid))
        return ["query", *terms]

    @property
    def is_plain(self) -> bool:
        """Whether the request leaves generation as it is: temperature 1 and no steering terms with a strength."""
        return self.temperature == 1.0 and not (self.strength and (self.like or self.avoid))


def generation_request(request: RetrieveRequest, opened: OpenTask) -> GenerationRequest:
    """Check a request against the models of its task, and put its steering terms into words.

    Raises:
        RequestError: ``k`` exceeds what the model can generate, ``guidance`` is set for a solver that ignores it, or
            the catalogue lacks an attribute that the filter or the cap names.
    """
    check_k(request.k, opened.model.num_rows)
    if request.filter or request.max_per:
        attributes = opened.attributes
        known, are_items = (attributes.items.names, attributes.are_items) if attributes else ((), False)
        check_attributes(request.filter, request.max_per, known, are_items)
    if request.guidance is not None and not SOLVERS[opened.model.solver].is_guided:
        raise RequestError(
            "guidance",
            str(request.guidance),
            f"none: the solver {opened.model.solver} takes no guidance",
            "leave it out, or set a solver that takes guidance: serve.solver: dpmpp_2m, serve.num_steps: 4",
        )
    return GenerationRequest(
        task=opened.task,
        query=request.query,
        seed=request.seed,
        temperature=request.temperature,
        guidance=request.guidance,
        strength=request.strength,
        like=in_words(request.like, opened.pool),
        avoid=in_words(request.avoid, opened.pool),
        # Several directions may lead to the same item that passes, so there are more to choose from.
        k=opened.model.num_rows if request.filter else request.k,
    )


def check_k(k: int, num_rows: int) -> None:
    """Raise RequestError if ``k`` is larger than ``num_rows``, the most directions that the model generates."""
    if k > num_rows:
        raise RequestError("k", str(k), f"1 to {num_rows}, the most directions this model generates", "ask for fewer")


def in_words(terms: Sequence[str], pool: Pool) -> tuple[str, ...]:
    """The text of each term that is an id of the pool; other terms stay as they are."""
    return tuple(pool.texts[pool.row_of[term]] if term in pool.row_of else term for term in terms)


def named_rows(terms: Sequence[str], pool: Pool) -> tuple[int, ...]:
    """The pool row of each term that is an id of the pool."""
    return tuple(pool.row_of[term] for term in terms if term in pool.row_of)


def shown(value: object) -> str:
    """``repr`` of a wrong value, shortened to SHOWN_CHARS with its full length."""
    text = repr(value[: 2 * SHOWN_CHARS] if isinstance(value, str | bytes) else value)
    if len(text) <= SHOWN_CHARS:
        return text
    length = f" ({len(value):,} characters)" if isinstance(value, str | bytes) else ""
    return f"{text[:SHOWN_CHARS]}...{length}"


def request_fault(faults: Sequence[Mapping[str, Any]]) -> RequestError:
    """One RequestError from pydantic's list of faults. It describes the first fault and names the other fields.

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
        return f"one of {', '.join(_model_of(fault).model_fields)}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _model_of(fault: Mapping[str, Any]) -> type[Message]:
    """The model that refused an unknown field. ``Filter`` refuses in its own words."""
    *outside, _ = (part for part in fault["loc"] if part != "body")
    inner: dict[str | int, type[Message]] = {"max_per": MaxPer, "filter": Bounds}
    return inner.get(outside[0], RetrieveRequest) if outside else RetrieveRequest
