"""Faults of a request in our words: the field, what was got, what its endpoint expects, and the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r4t_ray.errors import RequestError
from r4t_ray.retrieval.filtering.filters import Bounds, MaxPer
from r4t_ray.retrieval.response import Message

FIELDS_SHOWN = 6
SHOWN_CHARS = 80
"""Characters of a wrong value that an error repeats."""


def shown(value: object) -> str:
    """``repr`` of a wrong value, shortened to SHOWN_CHARS with its full length."""
    text = repr(value[: 2 * SHOWN_CHARS] if isinstance(value, str | bytes) else value)
    if len(text) <= SHOWN_CHARS:
        return text
    length = f" ({len(value):,} characters)" if isinstance(value, str | bytes) else ""
    return f"{text[:SHOWN_CHARS]}...{length}"


def request_fault(faults: Sequence[Mapping[str, Any]], model: type[Message] | None) -> RequestError:
    """One RequestError from pydantic's list of faults. It describes the first fault and names the other fields.

    Args:
        faults: ``ValidationError.errors()``, or FastAPI's, whose locations begin with ``"body"``.
        model: The model of the body. None for an endpoint without a body.
    """
    names = [_place(fault) for fault in faults]
    also = sorted(set(names[1:]) - {names[0]})
    fix = f"correct {names[0]}" + (f"; also wrong: {', '.join(also)}" if also else "") + "; see /docs"
    return RequestError(names[0][:SHOWN_CHARS], _got(faults[0]), _expected(faults[0], model), fix[: 4 * SHOWN_CHARS])


def _place(fault: Mapping[str, Any]) -> str:
    inside = [str(part) for part in fault["loc"] if part != "body"]
    if fault["type"] == "json_invalid":
        return f"body, character {inside[0]}" if inside else "body"
    if fault["type"] == "no_query":
        return "query"
    return ".".join(inside) or "body"


def _got(fault: Mapping[str, Any]) -> str:
    if fault["type"] in ("missing", "no_query"):
        return "nothing"
    if fault["type"] == "json_invalid":
        return f"invalid JSON ({fault.get('ctx', {}).get('error', 'unreadable')})"
    return shown(fault.get("input"))


def expected_body(model: type[Message] | None) -> str:
    """How a body has to look, with the first fields of its model."""
    names = [*model.model_fields] if model else []
    fields = f" with {', '.join(names[:FIELDS_SHOWN])}{', ...' if names[FIELDS_SHOWN:] else ''}" if names else ""
    return f"a JSON object in UTF-8, sent as application/json{fields}"


def _expected(fault: Mapping[str, Any], model: type[Message] | None) -> str:
    is_own = fault["type"] == "value_error"  # raised by a validator of the model, in its own words
    if fault["type"] in ("json_invalid", "model_attributes_type") or (_place(fault) == "body" and not is_own):
        return expected_body(model)
    if fault["type"] == "extra_forbidden" and model is not None:
        return f"one of {', '.join(_refusing(fault, model).model_fields)}"
    return str(fault["msg"]).removeprefix("Value error, ")


def _refusing(fault: Mapping[str, Any], model: type[Message]) -> type[Message]:
    """The model that refused an unknown field. ``Filter`` refuses in its own words."""
    *outside, _ = (part for part in fault["loc"] if part != "body")
    inner: dict[str | int, type[Message]] = {"max_per": MaxPer, "filter": Bounds}
    return inner.get(outside[0], model) if outside else model
