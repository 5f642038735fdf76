"""Walks over the fields of settings classes and over the classes inside their types."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from r4t_ray.config.settings import Settings
from r4t_ray.config.shapes import PerTask


class Field(NamedTuple):
    """One setting: its key, its declaration, the class that declares it, and the settings that it holds."""

    name: str
    info: FieldInfo
    owner: type[Settings]
    parts: tuple[Part, ...]


class Part(NamedTuple):
    """A settings class inside the type of a field, and the suffix that leads to its keys.

    ``suffix`` follows the field's key: "" for a section, ".{oar,wscr}" for a value of each task, ".NAME" for an entry
    of a mapping, "[]" for an entry of a list.
    """

    suffix: str
    kind: type[Settings]


def fields_of(kind: type[Settings]) -> Iterator[Field]:
    """The fields of one class in the order of their declaration, ``type`` first."""
    for name, info in sorted(kind.model_fields.items(), key=lambda entry: entry[0] != "type"):
        yield Field(name, info, kind, tuple(_parts(info.annotation, "")))


def all_fields(kind: type[Settings]) -> Iterator[Field]:
    """The fields of a class and of every settings class below it, each class once."""
    seen: set[type[Settings]] = set()
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for field in fields_of(one):
            yield field
            waiting += [part.kind for part in field.parts]


def type_name(kind: type[Settings]) -> str | None:
    """The value of ``type`` that selects a class among the members of a union; None if it has no such field."""
    info = kind.model_fields.get("type")
    names = get_args(info.annotation) if info is not None else ()
    return str(names[0]) if len(names) == 1 else None


def _parts(annotation: Any, suffix: str) -> Iterator[Part]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, PerTask):
        yield from _parts(annotation.model_fields["oar"].annotation, suffix + ".{oar,wscr}")
    elif isinstance(annotation, type) and issubclass(annotation, Settings):
        yield Part(suffix, annotation)
    elif origin is Annotated:
        yield from _parts(arguments[0], suffix)
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _parts(argument, suffix)
    elif origin is dict:
        yield from _parts(arguments[1], suffix + ".NAME")
    elif origin in (tuple, list):
        yield from _parts(arguments[0], suffix + "[]")
