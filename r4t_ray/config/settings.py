"""The base of every settings class: frozen, no unknown key, and a partial mapping keeps the defaults of its field.

A ``Settings`` subclass sits in the file of the class that it configures; ``r4t_ray.experiment`` joins the sections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from r4t_ray.config.renamed import renamed_hint
from r4t_ray.errors import ConfigError


class Settings(BaseModel):
    """Base of every settings class: frozen, and an unknown key is an error.

    Two rules make short YAML files possible. A mapping for a nested section sets only the keys that it names. The
    other keys keep the default of the *field*, which may differ from the default of the class. ``null`` stands for the
    default. If the type of the field allows None, ``null`` stands for None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _fill_from_defaults(cls, data: Any) -> Any:
        return _given(cls.model_fields, data) if isinstance(data, dict) else data


S = TypeVar("S", bound=Settings)
Fields = Mapping[str, FieldInfo]
Loc = tuple[int | str, ...]
"""Path of a key, as pydantic names it in an error."""


def parse_settings(
    kind: type[S], data: dict[str, Any], where: str, origin: Callable[[Loc], str | None] = lambda loc: None
) -> S:
    """Validate ``data`` as ``kind``.

    Args:
        kind: The settings class.
        data: Its values by key.
        where: The file that they come from.
        origin: Gives the file of a key from the path of the key, or None if that file is ``where``.

    Raises:
        ConfigError: A key is wrong. The message names each wrong key.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        keys = [".".join(map(str, _as_written(fault["loc"], data))) for fault in error.errors()]
        faults = "; ".join(
            f"{key or 'top level'}: {_said(fault, kind)} (got {fault['input']!r:.80})"
            + (f" in {file}" if (file := origin(fault["loc"])) else "")
            for key, fault in zip(keys, error.errors(), strict=True)
        )
        hint = renamed_hint(keys)
        fix = hint or "correct or remove the keys named"
        raise ConfigError(where, faults, "settings and values as in docs/settings.md", fix) from None


def _said(fault: ErrorDetails, kind: type[Settings]) -> str:
    """What is wrong with a key, in our words for an unknown one, with the name that it resembles."""
    if fault["type"] != "extra_forbidden":
        return fault["msg"]
    *outside, name = fault["loc"]
    kinds = [kind]
    for part in outside:  # a part that is no field names the member of a union, or an entry
        inside = [one for each in kinds if part in each.model_fields for one in _classes(each.model_fields[str(part)])]
        kinds = inside or kinds
    names = {field for each in kinds for field in each.model_fields} - {str(name)}
    near = get_close_matches(str(name), names, n=1)
    return f"no such setting; did you mean {near[0]}?" if near else "no such setting"


def _classes(declared: Any) -> list[type[Settings]]:
    """The settings classes inside the type of a field."""
    annotation = declared.annotation if isinstance(declared, FieldInfo) else declared
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [one for argument in get_args(annotation) for one in _classes(argument)]


def _as_written(loc: Loc, data: Any) -> Loc:
    """The path of a key in ``data``: pydantic's path without its names for the members of unions."""
    written: list[int | str] = []
    for place, part in enumerate(loc):
        if isinstance(data, dict) and (part == data.get("type") or (part not in data and place < len(loc) - 1)):
            continue
        written.append(part)
        is_entry = isinstance(data, list) and isinstance(part, int) and part < len(data)
        data = data.get(part) if isinstance(data, dict) else data[part] if is_entry else None
    return tuple(written)


def merged(below: Any, above: Any) -> Any:
    """``above`` laid over ``below``: mappings merge key by key, anything else replaces.

    A mapping with another ``type`` also replaces, because its other keys belong to another class.

    >>> merged({"folm": {"k": 10, "num_hits": 5}}, {"folm": {"k": 12}})
    {'folm': {'k': 12, 'num_hits': 5}}
    """
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    if "type" in below and above.get("type", below["type"]) != below["type"]:
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


def recorded_settings(kind: type[S], recorded: Mapping[str, Any]) -> S:
    """``kind``'s settings from a manifest; keys of the manifest that ``kind`` lacks are left out."""
    return kind.model_validate({name: recorded[name] for name in kind.model_fields if name in recorded})


def _given(fields: Fields, data: Mapping[str, Any], held: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values of ``data`` without the nulls that mean a default, each section filled from its default.

    Args:
        fields: The fields of a settings class.
        data: Values by name; unknown names stay, so that pydantic refuses them.
        held: The defaults in use; with None the defaults of the class.
    """
    given: dict[str, Any] = {}
    for name, value in data.items():
        info = fields.get(name)
        if info is None:
            given[name] = value
        elif value is not None or not _null_is_default(info, held):
            default = held[name] if held is not None else info.get_default(call_default_factory=True)
            given[name] = _over_default(info, default, value)
    return given


def _over_default(info: FieldInfo, default: Any, value: Any) -> Any:
    """``value``; a mapping for a section gets the keys that it lacks from ``default``.

    The declared class says which keys may be null: the default may be an instance of a generic class without its type.
    """
    if not isinstance(default, Settings) or not isinstance(value, dict):
        return value
    if value.get("type", getattr(default, "type", None)) != getattr(default, "type", None):
        return value
    declared = info.annotation
    kind = declared if isinstance(declared, type) and issubclass(declared, Settings) else type(default)
    fields = kind.model_fields
    held = {name: getattr(default, name) for name in fields}
    return held | _given(fields, value, held)


def _null_is_default(info: FieldInfo, held: Mapping[str, Any] | None) -> bool:
    has_default = held is not None or not info.is_required()
    return has_default and type(None) not in get_args(info.annotation)
