"""Frozen settings and the YAML they are read from.

A stage's ``Settings`` subclass sits in the file of what it configures; ``r4t_ray.pipeline.Experiment`` joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from r4t_ray.errors import ConfigError


class Settings(BaseModel):
    """Base of every settings class: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


S = TypeVar("S", bound=Settings)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping; raises ConfigError when it is missing, unreadable or not a mapping."""
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "a YAML file", "see jobs/configs/ for examples") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"unreadable YAML ({error})", "a YAML mapping", "correct the syntax") from error
    if not isinstance(data, dict):
        raise ConfigError(
            str(path), f"a {type(data).__name__}", "a mapping of sections", "see jobs/configs/cookbook.yaml"
        )
    return data


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
    """``kind``'s settings among those of a manifest, which may hold more, or some that are no more."""
    return kind.model_validate({name: recorded[name] for name in kind.model_fields if name in recorded})


def load_settings(kind: type[S], path: str | Path) -> S:
    """Read ``path`` and validate it as ``kind``."""
    return parse_settings(kind, read_yaml(path), str(path))
