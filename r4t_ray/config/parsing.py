"""Settings from values by key: an error names each wrong key as it was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from r4t_ray.config.fields import fields_of, type_name
from r4t_ray.config.renamed import renamed_hint
from r4t_ray.config.settings import S, Settings
from r4t_ray.errors import ConfigError

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
            f"{key or 'top level'}: {_said(fault, kind, key)} (got {fault['input']!r:.80})"
            + (f" in {file}" if (file := origin(fault["loc"])) else "")
            for key, fault in zip(keys, error.errors(), strict=True)
        )
        hint = renamed_hint(keys)
        fix = hint or "correct or remove the keys named"
        raise ConfigError(where, faults, "settings and values as in docs/settings.md", fix) from None


def _said(fault: ErrorDetails, kind: type[Settings], key: str) -> str:
    """What is wrong with a key. An unknown key gets the setting that its name resembles, if it was not just renamed."""
    if fault["type"] != "extra_forbidden":
        return fault["msg"]
    *outside, name = fault["loc"]
    names = {field.name for each in _classes_at(kind, outside) for field in fields_of(each)} - {str(name)}
    near = [] if renamed_hint([key]) else get_close_matches(str(name), names, n=1)
    return f"no such setting; did you mean {near[0]}?" if near else "no such setting"


def _classes_at(kind: type[Settings], loc: Sequence[int | str]) -> list[type[Settings]]:
    """The settings classes that a path of pydantic leads to; several for a union without a ``type``."""
    kinds = [kind]
    for part in loc:
        inside = [one.kind for each in kinds for field in fields_of(each) if field.name == part for one in field.parts]
        # A part that is no field is the ``type`` of a member, a task, or the place of an entry.
        kinds = inside or [each for each in kinds if type_name(each) == part] or kinds
    return kinds


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
