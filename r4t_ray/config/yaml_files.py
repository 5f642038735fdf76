"""Settings from YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from r4t_ray.config.settings import S, parse_settings
from r4t_ray.errors import ConfigError


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


def load_settings(kind: type[S], path: str | Path) -> S:
    """Read ``path`` and validate it as ``kind``."""
    return parse_settings(kind, read_yaml(path), str(path))
