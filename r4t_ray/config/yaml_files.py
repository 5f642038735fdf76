"""Settings from YAML files. A file may extend another file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from r4t_ray.config.parsing import parse_settings
from r4t_ray.config.settings import S, merged
from r4t_ray.errors import ConfigError

EXTENDS = "extends"
"""Top-level key of a YAML file: the file, relative to this one, whose values it starts from."""


class YamlFile(NamedTuple):
    """One YAML file and the mapping in it, without ``extends``."""

    path: Path
    data: dict[str, Any]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping; raises ConfigError when it is missing, unreadable or not a mapping."""
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "a YAML file", "see jobs/configs/ for examples") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"unreadable YAML ({error})", "a YAML mapping", "correct the syntax") from error
    except OSError as error:
        raise ConfigError(str(path), f"{error.strerror}", "a readable YAML file", "correct the path") from error
    if not isinstance(data, dict):
        raise ConfigError(
            str(path), f"a {type(data).__name__}", "a mapping of sections", "see jobs/configs/cookbook.yaml"
        )
    return data


def read_chain(path: str | Path) -> list[YamlFile]:
    """A YAML file and the files that it extends, the first base first.

    Raises:
        ConfigError: A file is missing or unreadable, ``extends`` is not the name of a file, or the files form a cycle.
    """
    chain: list[YamlFile] = []
    file: Path | None = Path(path)
    while file is not None:
        seen = [one.path for one in chain]
        if any(file.resolve() == other.resolve() for other in seen):
            raise ConfigError(
                f"{seen[-1]}: {EXTENDS}",
                " -> ".join(map(str, [*seen, file])),
                "files that do not extend each other in a cycle",
                f"remove `{EXTENDS}` from one of them",
            )
        data = read_yaml(file)
        base = data.pop(EXTENDS, None)
        if base is not None and not isinstance(base, str):
            raise ConfigError(f"{file}: {EXTENDS}", repr(base), "the name of a YAML file", "write one file name")
        chain.append(YamlFile(file, data))
        file = None if base is None else file.parent / base
        if file is not None and not file.is_file():
            raise ConfigError(f"{chain[-1].path}: {EXTENDS}", f"no such file {file}", "a YAML file", "correct the name")
    return chain[::-1]


def load_settings(kind: type[S], path: str | Path) -> S:
    """Read ``path`` and the files that it extends, merge them, and validate the result as ``kind``.

    Mappings merge key by key, everything else replaces, and ``null`` resets a key to its default.

    Raises:
        ConfigError: A file cannot be read, or a key is wrong. The message names each wrong key and its file.
    """
    chain = read_chain(path)
    data = reduce(merged, (file.data for file in chain))
    return parse_settings(kind, data, str(path), lambda loc: _origin(chain, loc))


def _origin(chain: Sequence[YamlFile], loc: Sequence[str | int]) -> str | None:
    """The base file that a wrong key comes from; None if the key is in the last file or in no file."""
    depths = [_depth(file.data, loc) for file in chain]
    best = max(depths)
    last = max(number for number, depth in enumerate(depths) if depth == best)
    return None if best == 0 or last == len(chain) - 1 else str(chain[last].path)


def _depth(data: Any, loc: Sequence[str | int]) -> int:
    """How many parts of ``loc`` lead into ``data``; parts that name the member of a union are skipped."""
    depth = 0
    for part in loc:
        if isinstance(data, dict) and part in data:
            data, depth = data[part], depth + 1
    return depth
