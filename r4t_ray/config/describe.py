"""Settings as YAML with comments: the description above each setting, and the default beside a changed value."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic_core import to_jsonable_python

from r4t_ray.config.fields import fields_of
from r4t_ray.config.operational import description_of
from r4t_ray.config.settings import Settings
from r4t_ray.config.shapes import PerTask

WIDTH = 110


def describe(settings: Settings, default: Settings, label: str = "default") -> str:
    """``settings`` as a YAML mapping; reading it back gives equal settings.

    Args:
        settings: The settings to print.
        default: Settings of the same class. A value that differs from them gets a comment with the default.
        label: Name of ``default`` in that comment.
    """
    return "\n".join(_section(settings, default, label, "", True)) + "\n"


def to_yaml(value: Any) -> str:
    """A value as one line of YAML."""
    plain = to_jsonable_python(value)
    return yaml.safe_dump(plain, default_flow_style=True, width=10**9, sort_keys=False).removesuffix("...\n").strip()


def short(value: Any) -> str:
    """A value in a few words."""
    return "a section of settings" if isinstance(value, Settings) else to_yaml(value)


def _section(settings: Settings, default: Any, label: str, indent: str, explained: bool) -> Iterator[str]:
    """The lines of one section; ``default`` is of another class, or None, if the section is not the default one."""
    per_task = isinstance(settings, PerTask)
    known = type(default) is type(settings) or (per_task and isinstance(default, PerTask))
    oar_is_explained = isinstance(settings, PerTask) and settings.oar is not None
    for field in fields_of(type(settings)):
        if explained and not per_task:
            yield from _comment(description_of(field.info), indent)
        value, usual = getattr(settings, field.name), getattr(default, field.name) if known else None
        # Both tasks hold the same class: its descriptions stand below oar.
        below = explained and not (oar_is_explained and field.name == "wscr")
        if isinstance(value, Settings):
            yield f"{indent}{field.name}:" + _difference(known and usual is None, "null", label)
            yield from _section(value, usual, label, indent + "  ", below)
        else:
            line = f"{indent}{field.name}: {to_yaml(value)}"
            yield line + _difference(known and value != usual, short(usual), label)


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, WIDTH - len(indent)):
        yield f"{indent}# {line}"


def _difference(differs: bool, usual: str, label: str) -> str:
    return f"  # {label}: {usual}" if differs else ""
