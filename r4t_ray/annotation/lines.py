"""A file of JSON lines that grows. Its lines stay as they are, so a person may edit them between two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r4t_ray.errors import ConfigError
from r4t_ray.files import whole_file

SUFFIXES = (".jsonl", ".ndjson")


class LinesFile:
    """The file.

    Args:
        path: Its name. It may exist.

    Raises:
        ConfigError: The name does not end as files of JSON lines do.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in SUFFIXES:
            raise ConfigError("--out", str(path), f"a name that ends in {' or '.join(SUFFIXES)}", "name another file")
        self.path = path

    def has_lines(self) -> bool:
        """Whether the file is there and not empty."""
        return self.path.exists() and self.path.stat().st_size > 0

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add records at the end. The file is replaced as a whole, so a killed run leaves no half of a line."""
        if not records:
            return
        before = f"{self.path.read_text(encoding='utf-8').rstrip()}\n" if self.has_lines() else ""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as partial:
            lines = (json.dumps(record, ensure_ascii=False) for record in records)
            partial.write_text(before + "".join(f"{line}\n" for line in lines), encoding="utf-8")
