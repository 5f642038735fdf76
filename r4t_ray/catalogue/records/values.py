"""Values of all forms as JSON values: text that UTF-8 can hold, numbers, true, false, null, lists and objects.

Dates and times become ISO 8601 text, decimals their digits, UUIDs their text, and bytes the UTF-8 text that they hold.
NaN and infinite numbers become null.
"""

from __future__ import annotations

import json
import math
import re
import sys
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from r4t_ray.errors import DataError

MAX_DEPTH = 50
"""Most levels of lists and objects inside each other."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_value(place: str, name: str, value: Any, depth: int = 0) -> Any:
    """Convert one value of a record.

    Args:
        place: Where the record stands, for messages.
        name: Name of the field, for messages.
        value: A value that Python's json or pyarrow gave.
        depth: Number of lists and objects around it.

    Raises:
        DataError: A text holds half of a surrogate pair, bytes are not UTF-8, lists and objects are nested more than
            MAX_DEPTH levels deep, or JSON and the forms above lack the type.
    """
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        return _whole_text(place, name, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return _text_of_bytes(place, name, value)
    if depth == MAX_DEPTH:
        raise DataError(
            place, f"more than {MAX_DEPTH} levels in {name:.80}", f"at most {MAX_DEPTH} levels", "flatten the value"
        )
    if isinstance(value, list):
        return [json_value(place, f"{name}[{at}]", entry, depth + 1) for at, entry in enumerate(value)]
    if isinstance(value, dict):
        return {_key(place, name, key): json_value(place, f"{name}.{key}", value[key], depth + 1) for key in value}
    raise DataError(
        place,
        f"{name:.80} of the type {type(value).__name__}",
        "text, a number, true, false, null, a date, a time, a list or an object",
        f"write {name:.80} as text or leave it out",
    )


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, also if it is nested too deeply for the parser."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole_text(place: str, name: str, value: str) -> str:
    if not value.isascii() and (found := _SURROGATE.search(value)):
        raise DataError(
            place,
            f"half of a surrogate pair ({found[0]!a}) in {name:.80} = {value!a:.80}",
            "text that UTF-8 can hold",
            "write the whole character; the text was probably cut inside an emoji",
        )
    return value


def _text_of_bytes(place: str, name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            place,
            f"{name:.80} = {value[:20]!r}, {len(value):,} bytes that are not UTF-8",
            "text, or bytes that hold UTF-8 text",
            f"write {name:.80} as text, such as base64, or leave it out",
        ) from None


def _key(place: str, name: str, key: Any) -> str:
    """The key of an object as text, one string for all records. Maps of parquet have keys of any type."""
    plain = json_value(place, f"a key of {name}", key, MAX_DEPTH)
    if isinstance(plain, str):
        return sys.intern(plain)
    return json.dumps(plain)
