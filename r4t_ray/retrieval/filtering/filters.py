"""The filter of a request, and its cap: conditions on the attributes of items. ``attributes`` evaluates them.

A filter is an object with one of these keys:

    {"and": [FILTER, ...]}  {"or": [FILTER, ...]}  {"not": FILTER}  {"any": FILTER}
    {"eq": [ATTRIBUTE, VALUE]}  {"in": [ATTRIBUTE, [VALUE, ...]]}  {"exists": ATTRIBUTE}
    {"range": [ATTRIBUTE, {"gte": VALUE, "gt": VALUE, "lte": VALUE, "lt": VALUE}]}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from r4t_ray.errors import RequestError
from r4t_ray.retrieval.response import Message

MAX_DEPTH = 8
"""Most filters inside each other."""
MAX_VALUES = 256
"""Most values that a filter compares with. ``exists`` counts as one."""
NAMES_SHOWN = 20
"""Attributes that an error lists."""

Scalar = str | int | float | bool


def plain_value(value: Any, handler: ValidatorFunctionWrapHandler) -> Scalar:
    """A text in UTF-8, true, false, or a number that a 64-bit float can hold. Raises ValueError."""
    if isinstance(value, str) and value.encode("utf-8", "replace").decode() == value:
        return value
    if isinstance(value, bool) or (isinstance(value, int | float) and abs(value) <= sys.float_info.max):
        return value
    raise ValueError("text, a finite number, true or false")


Value = Annotated[Scalar, WrapValidator(plain_value)]


class Bounds(Message):
    """Bounds of a range: all numbers, or all texts, which are compared by code points. ISO 8601 dates are texts."""

    gte: Value | None = Field(None, description="At least this value.")
    gt: Value | None = Field(None, description="More than this value.")
    lte: Value | None = Field(None, description="At most this value.")
    lt: Value | None = Field(None, description="Less than this value.")

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        kinds = {"text" if isinstance(value, str) else type(value).__name__ for value in self.stated.values()}
        if kinds not in ({"text"}, {"int"}, {"float"}, {"int", "float"}):
            raise ValueError("one or more of gte, gt, lte and lt, all of them numbers or all of them texts")
        return self

    @property
    def stated(self) -> dict[str, Scalar]:
        """The bounds that are set, by name."""
        return {name: value for name, value in self if value is not None}


class Filter(Message):
    """A condition on the attributes of an item. It has one of the keys below.

    A collection passes if all its items do. A filter inside `any` asks for one of them.
    """

    all_of: tuple[Filter, ...] | None = Field(None, alias="and", min_length=1, description="All of these pass.")
    one_of: tuple[Filter, ...] | None = Field(None, alias="or", min_length=1, description="One or more of these pass.")
    negated: Filter | None = Field(
        None, alias="not", description="It does not pass. An item without the attribute passes `not` of `eq`."
    )
    some: Filter | None = Field(None, alias="any", description="One or more items of the collection pass it.")
    eq: tuple[str, Value] | None = Field(
        None,
        description="[attribute, value]: the attribute has the value, or is a list that holds it. Types differ: the "
        "number 1 is not the text 1.",
    )
    among: tuple[str, tuple[Value, ...]] | None = Field(
        None, alias="in", description="[attribute, [value, ...]]: as `eq`, with one of the values."
    )
    range: tuple[str, Bounds] | None = Field(
        None, description="[attribute, bounds]: a value of the attribute lies within the bounds."
    )
    exists: str | None = Field(None, description="The attribute has a value: it is not null and no empty list.")

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, data: Any) -> Any:
        forms = [field.alias or name for name, field in cls.model_fields.items()]
        is_form = isinstance(data, dict) and len(data) == 1 and not set(data).difference(forms)
        if isinstance(data, cls) or (is_form and None not in data.values()):
            return data
        raise ValueError(f"an object with one of the keys {', '.join(forms)}")

    @property
    def parts(self) -> tuple[tuple[str, Filter], ...]:
        """The filters directly inside, with their places."""
        several = {"and": self.all_of or (), "or": self.one_of or ()}
        listed = [(f"{name}.{at}", part) for name, parts in several.items() for at, part in enumerate(parts)]
        single = [(name, part) for name, part in (("not", self.negated), ("any", self.some)) if part is not None]
        return (*listed, *single)

    @property
    def asks_for_one(self) -> bool:
        """Whether it is an ``any`` or has one inside."""
        return self.some is not None or any(part.asks_for_one for _, part in self.parts)

    def conditions(self, place: str = "filter") -> Iterator[tuple[str, str, int]]:
        """Each condition on an attribute: the place of the attribute, its name, and the number of values."""
        for name, part in self.parts:
            yield from part.conditions(f"{place}.{name}")
        if self.eq is not None:
            yield f"{place}.eq.0", self.eq[0], 1
        if self.among is not None:
            yield f"{place}.in.0", self.among[0], max(1, len(self.among[1]))
        if self.range is not None:
            yield f"{place}.range.0", self.range[0], len(self.range[1].stated)
        if self.exists is not None:
            yield f"{place}.exists", self.exists, 1


class MaxPer(Message):
    """At most ``n`` items of an answer have the same value of an attribute."""

    attribute: str = Field(description="Name of the attribute. Items without it are not counted.")
    n: int = Field(ge=1, strict=True, description="Most items of the whole answer that have the same value.")


def checked_depth(data: Any, levels: int = MAX_DEPTH) -> Any:
    """The data of a filter, unchanged. Raises ValueError if more than ``levels`` filters are inside each other."""
    if isinstance(data, dict):
        if not levels:
            raise ValueError(f"at most {MAX_DEPTH} filters inside each other")
        for inside in (data[form] for form in ("and", "or", "not", "any") if form in data):
            for part in inside if isinstance(inside, list | tuple) else (inside,):
                checked_depth(part, levels - 1)
    return data


def checked_size(wanted: Filter) -> Filter:
    """The filter, unchanged. Raises ValueError if it compares with more than MAX_VALUES values."""
    num = sum(num for _, _, num in wanted.conditions())
    if num > MAX_VALUES:
        raise ValueError(f"at most {MAX_VALUES} values, and this filter has {num:,}")
    return wanted


FilterField = Annotated[Filter, BeforeValidator(checked_depth), AfterValidator(checked_size)]
"""A filter within the limits on its depth and its size."""


def filter_of(text: str) -> Any:
    """The data of a filter written as JSON on the command line. Raises RequestError if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("--filter", f"{text!r:.80} ({error})", "JSON", "quote it for the shell") from None


def cap_of(text: str) -> dict[str, Any]:
    """``ATTRIBUTE:N`` of the command line as the data of a ``MaxPer``. Raises RequestError."""
    attribute, _, num = text.rpartition(":")
    if not attribute or not (num.isascii() and num.isdigit()):
        raise RequestError("--max-per", f"{text!r:.80}", "ATTRIBUTE:N, such as category:2", "correct it")
    return {"attribute": attribute, "n": int(num)}


def check_attributes(wanted: Filter | None, cap: MaxPer | None, known: Sequence[str], are_items: bool) -> None:
    """Raise RequestError unless the catalogue has every attribute that is named, and the cap fits the pool.

    Args:
        wanted: The filter of a request.
        cap: Its ``max_per``.
        known: Every attribute of the catalogue.
        are_items: Whether the entries of the pool are items.
    """
    named = [(place, name) for place, name, _ in wanted.conditions()] if wanted else []
    for place, name in [*named, *([("max_per.attribute", cap.attribute)] if cap else [])]:
        if name not in known:
            more = f" and {len(known) - NAMES_SHOWN} more" if known[NAMES_SHOWN:] else ""
            expected = f"one of {', '.join(known[:NAMES_SHOWN])}{more}" if known else "items with attributes"
            fix = "name another attribute" if known else "ingest items with attributes, or leave it out"
            raise RequestError(place, f"{name!r:.80}, which no item has", expected, fix)
    if cap and not are_items:
        raise RequestError(
            "max_per",
            "a cap for a pool of collections",
            "a pool of items: the task wscr, or oar in a catalogue without sets",
            "leave it out, or ask with task wscr",
        )
