"""The base of every settings class: frozen, no unknown key, and a partial mapping keeps the defaults of its field.

A ``Settings`` subclass sits in the file of the class that it configures; ``r4t_ray.experiment`` joins the sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo


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
