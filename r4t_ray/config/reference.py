"""Every setting of a section as one row of a table: its key, its default, and its description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from r4t_ray.config.describe import to_yaml
from r4t_ray.config.fields import Field, Part, fields_of, type_name
from r4t_ray.config.operational import description_of
from r4t_ray.config.settings import Settings
from r4t_ray.config.shapes import PerTask

Values = Sequence[tuple[str, Mapping[str, Any]]]
"""Default values by field name, with the task that they belong to, or "" outside of a task."""

REQUIRED = object()


class Row(NamedTuple):
    """One setting: its key below the section, its default as YAML ("" for a section), and its description."""

    key: str
    default: str
    description: str


def setting_rows(kind: type[Settings], key: str = "", values: Values | None = None) -> Iterator[Row]:
    """The rows of a settings class and of all settings that it holds.

    Args:
        kind: The class.
        key: Key of the class in its section, "" for the section itself.
        values: The defaults in use; with None the defaults of the class.
    """
    values = values or [("", _class_defaults(kind))]
    for field in fields_of(kind):
        held = [(task, value[field.name]) for task, value in values]
        name = f"{key}.{field.name}" if key else field.name
        tasks = ".{oar,wscr}" if not field.parts and isinstance(held[0][1], PerTask) else ""
        yield Row(name + tasks, _default(field, held), description_of(field.info))
        yield from _part_rows(name, field, held)


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| setting | default | description |", "|---|---|---|"]
    for row in rows:
        default = f"`{row.default}`" if row.default else ""
        cells = (f"`{row.key}`", default, row.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _part_rows(name: str, field: Field, held: Sequence[tuple[str, Any]]) -> Iterator[Row]:
    """The rows of the settings inside a field. Settings that all members of a union share come first, once."""
    found = [list(setting_rows(part.kind, name + part.suffix, _values(part, held))) for part in field.parts]
    shared = set(found[0]).intersection(*found[1:]) if found else set()
    yield from (row for row in found[0] if row in shared) if found else ()
    for part, rows in zip(field.parts, found, strict=True):
        stem = name + part.suffix
        for row in rows:
            if row not in shared:
                yield row._replace(key=f"{stem}({_member_name(part.kind)}){row.key.removeprefix(stem)}")


def _member_name(kind: type[Settings]) -> str:
    """The word for a class in a union: its ``type``, or a part of its name if it accepts any type."""
    return type_name(kind) or kind.__name__.removesuffix("Config").lower()


def _class_defaults(kind: type[Settings]) -> dict[str, Any]:
    return {
        name: REQUIRED if info.is_required() else info.get_default(call_default_factory=True)
        for name, info in kind.model_fields.items()
    }


def _values(part: Part, held: Sequence[tuple[str, Any]]) -> Values | None:
    """The default values of the fields of a part, if the default of the field holds such a part."""
    found: list[tuple[str, dict[str, Any]]] = []
    for task, value in held:
        each = [("oar", value.oar), ("wscr", value.wscr)] if isinstance(value, PerTask) else [(task, value)]
        found += [
            (name, {field: getattr(one, field) for field in part.kind.model_fields})
            for name, one in each
            if isinstance(one, part.kind)
        ]
    return found or None


def _default(field: Field, held: Sequence[tuple[str, Any]]) -> str:
    name = type_name(field.owner) if field.name == "type" else None
    return name or _joined([(task, _text(field, value)) for task, value in held])


def _joined(texts: Sequence[tuple[str, str]]) -> str:
    """One text if all are equal, else each text after its task."""
    if len({text for _, text in texts}) == 1:
        return texts[0][1]
    return ", ".join(f"{task} {text}" for task, text in texts if text)


def _text(field: Field, value: Any) -> str:
    if value is REQUIRED:
        return "" if field.parts else "required"
    if isinstance(value, PerTask):
        return _joined([("oar", _text(field, value.oar)), ("wscr", _text(field, value.wscr))])
    if isinstance(value, Settings):
        return ""
    return to_yaml(value)
