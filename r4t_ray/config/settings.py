"""The base of every settings class: frozen, no unknown key, and a partial mapping keeps the defaults of its field.

A ``Settings`` subclass sits in the file of the class that it configures; ``r4t_ray.experiment`` joins the sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from r4t_ray.errors import ConfigError


class Settings(BaseModel):
    """Base of every settings class: frozen, and an unknown key is an error.

    Two rules make short YAML files possible. A mapping for a nested section sets the named keys alone: the other keys
    keep the default of the *field*, which may differ from the default of the class. ``null`` is the default, except
    where the field's type has None: there it is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _fill_from_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {
            name: _filled(cls.model_fields[name], value) if name in cls.model_fields else value
            for name, value in data.items()
            if not (value is None and name in cls.model_fields and _null_is_default(cls.model_fields[name]))
        }


S = TypeVar("S", bound=Settings)


def parse_settings(kind: type[S], data: dict[str, Any], where: str) -> S:
    """Validate ``data`` as ``kind``; raises ConfigError naming each wrong key."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'top level'}: {fault['msg']} (got {fault['input']!r:.80})"
            for fault in error.errors()
        )
        raise ConfigError(
            where, faults, f"the settings of {kind.__name__}", "correct or remove the keys named"
        ) from None


def recorded_settings(kind: type[S], recorded: Mapping[str, Any]) -> S:
    """``kind``'s settings from a manifest; keys of the manifest that ``kind`` lacks are left out."""
    return kind.model_validate({name: recorded[name] for name in kind.model_fields if name in recorded})


def _null_is_default(info: FieldInfo) -> bool:
    return not info.is_required() and type(None) not in get_args(info.annotation)


def _filled(info: FieldInfo, value: Any) -> Any:
    """``value``; a mapping for a section gets the keys that it lacks from the field's default."""
    if info.is_required():
        return value
    return _over_default(info.get_default(call_default_factory=True), value)


def _over_default(default: Any, value: Any) -> Any:
    if not isinstance(default, Settings) or not isinstance(value, dict):
        return value
    if "type" in value and value["type"] != getattr(default, "type", value["type"]):
        return value
    held = {name: getattr(default, name) for name in type(default).model_fields}
    fields = type(default).model_fields
    given = {
        name: _over_default(held.get(name), part)
        for name, part in value.items()
        if not (part is None and name in fields and _null_is_default(fields[name]))
    }
    return held | given
