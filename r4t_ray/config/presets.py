"""Presets: the values that a YAML file starts from. ``small`` keeps the defaults; the others are packaged files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from r4t_ray.config.settings import merged
from r4t_ray.config.yaml_files import read_yaml

Preset = Literal["small", "fast", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

FOLDER = Path(__file__).parent / "presets"


def preset_values(name: Preset) -> dict[str, Any]:
    """The values of a preset that differ from the defaults."""
    return {} if name == "small" else read_yaml(FOLDER / f"{name}.yaml")


def over_preset(name: Preset, data: dict[str, Any]) -> dict[str, Any]:
    """``data`` laid over a preset; ``null`` keeps the value of the preset if it has one."""
    values = preset_values(name)
    result: dict[str, Any] = merged(values, _without_nulls(data, values))
    return result


def _without_nulls(data: Any, values: Any) -> Any:
    if not isinstance(data, dict) or not isinstance(values, dict):
        return data
    return {
        key: _without_nulls(value, values.get(key))
        for key, value in data.items()
        if value is not None or values.get(key) is None
    }
