"""Settings that change no result: how a stage runs, not what it makes. They are no part of a stage's key.

Such settings spread the work, bound it in time and memory, or say how often it is logged and saved. Changing one leaves
finished and unfinished stages as they are. Their results agree up to the order of sums, which rounds differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic.fields import FieldInfo

from r4t_ray.config.settings import Settings

_MARK = object()
T = TypeVar("T")
Operational = Annotated[T, _MARK]
"""Type of a setting that changes no result: ``timeout_s: Operational[float] = Field(...)``."""
NOTE = "Changes no result."
"""Ends the description of such a setting."""

Keys = tuple[str | int, ...]
"""Path of a setting below a section: names of fields, keys of mappings, and places in lists."""


def is_operational(info: FieldInfo) -> bool:
    """Whether the field's type is ``Operational``."""
    return any(each is _MARK for each in info.metadata)


def description_of(info: FieldInfo) -> str:
    """The description of a setting, with NOTE if it changes no result."""
    return " ".join(filter(None, (info.description, NOTE if is_operational(info) else None)))


def operational_keys(value: Any, above: Keys = ()) -> Iterator[Keys]:
    """The paths of all settings in ``value`` that change no result."""
    if isinstance(value, Settings):
        for name, info in type(value).model_fields.items():
            if is_operational(info):
                yield (*above, name)
            else:
                yield from operational_keys(getattr(value, name), (*above, name))
    elif isinstance(value, dict | list | tuple):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from operational_keys(inside, (*above, key))
