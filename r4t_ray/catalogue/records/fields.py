"""The fields of a record: which ones are read, and readers that check the type of a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from r4t_ray.catalogue.records.values import json_value, parse_json
from r4t_ray.errors import DataError

Choice = TypeVar("Choice", bound=str)

Record = tuple[str, dict[str, Any]]
"""Place ("items.jsonl:3" or "items.parquet row 3") and fields."""

SHOWN_CHARS = 80
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields of a kind of record.

    Attributes:
        required: Fields that every record has.
        optional: Fields that are read if a record has them. Other fields are ignored.
        lists: The ones that hold lists of ids. CSV has no lists, so their cells are split.
        vectors: Optional fields that hold vectors. Their values stay as the file has them; parquet gives arrays.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()

    @property
    def plain(self) -> tuple[str, ...]:
        """The fields that hold no vectors."""
        return (*self.required, *self.optional)

    @property
    def used(self) -> tuple[str, ...]:
        """All fields that are read."""
        return (*self.plain, *self.vectors)

    def check(self, place: str, have: Iterable[str]) -> None:
        """Raise DataError if a required field is not in ``have``."""
        names = list(have)
        for name in self.required:
            if name not in names:
                raise DataError(
                    place,
                    f"no field '{name}' (have: {_listed(names)})",
                    f"the fields {', '.join(self.required)}",
                    f"add '{name}' or rename the field that holds it",
                )


def text_field(place: str, fields: dict[str, Any], name: str, default: str | None = None) -> str:
    """A text field. An integer is converted to text; ``default`` replaces a missing or null value.

    Raises:
        DataError: The value is neither text nor an integer.
    """
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _fault(place, name, value, "a text or an integer", f"write {name} as text")
    return value


def id_field(place: str, fields: dict[str, Any], name: str) -> str:
    """A field with an id, without the spaces at its edges. ``r4t_ray.ids`` has the rule. Raises DataError."""
    return text_field(place, fields, name).strip()


def ids_field(place: str, fields: dict[str, Any], name: str) -> tuple[str, ...]:
    """A field with a list of ids, or with a JSON list as text. Repeats are dropped.

    Raises:
        DataError: The value is not a list, or the list is empty.
    """
    value = _parsed(place, name, fields.get(name), "[")
    if not isinstance(value, list) or not value:
        raise _fault(place, name, value, "a list of one or more ids", f"write {name} as a list")
    return tuple(dict.fromkeys(id_field(place, {name: entry}, name) for entry in value))


def optional_ids_field(place: str, fields: dict[str, Any], name: str) -> tuple[str, ...]:
    """A field with a list of ids; () if it is missing, null or an empty list. Repeats are dropped. Raises DataError."""
    return () if fields.get(name) in (None, [], "[]") else ids_field(place, fields, name)


def choice_field(place: str, fields: dict[str, Any], name: str, choices: Sequence[Choice]) -> Choice | None:
    """A field with one of ``choices``; None if it is missing or null.

    Raises:
        DataError: The value is something else.
    """
    value = fields.get(name)
    if value is not None and value not in choices:
        raise _fault(place, name, value, f"one of {', '.join(choices)}", f"correct {name} or leave it out")
    return value


def object_field(place: str, fields: dict[str, Any], name: str) -> dict[str, Any]:
    """A field with an object, or with a JSON object as text. A missing, null or empty field gives {}.

    Raises:
        DataError: The value is something else.
    """
    value = _parsed(place, name, fields.get(name), "{")
    if value in (None, "", "null"):
        return {}
    if not isinstance(value, dict):
        raise _fault(place, name, value, "a JSON object", f"write {name} as an object or leave it out")
    return value


def _parsed(place: str, name: str, value: Any, opening: str) -> Any:
    """The value of a text that begins as JSON of the wanted kind; every other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        parsed = parse_json(value)
    except ValueError:
        return value
    return json_value(place, name, parsed)


def _fault(place: str, name: str, value: Any, expected: str, fix: str) -> DataError:
    return DataError(place, f"{name} = {value!r:.{SHOWN_CHARS}}", expected, fix)


def _listed(names: Sequence[str]) -> str:
    """The names in one short line. Half of a surrogate pair is escaped, because no terminal can print it."""
    text = ", ".join(names).encode("utf-8", "backslashreplace").decode() or "none"
    return text if len(text) <= 4 * SHOWN_CHARS else f"{text[: 4 * SHOWN_CHARS]}..."
