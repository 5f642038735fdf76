"""A file of JSON lines that grows. Whole lines stay as they are, so a person may edit them between two runs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r4t_ray.errors import ConfigError

_logger = logging.getLogger(__name__)

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
        if self.has_lines():
            self._mend_end()

    def has_lines(self) -> bool:
        """Whether the file is there and not empty."""
        return self.path.exists() and self.path.stat().st_size > 0

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add records at the end, and flush them to the disk."""
        if not records:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as stream:
            stream.write("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records).encode())
            stream.flush()
            os.fsync(stream.fileno())

    def _mend_end(self) -> None:
        """End the last line, or cut it if a killed run left it unfinished."""
        content = self.path.read_bytes()
        whole, _, last = content.rpartition(b"\n")
        if not last:
            return
        try:
            json.loads(last)
        except ValueError:
            _logger.warning("%s: its last line is cut off and is removed: %.80r", self.path, last)
            with self.path.open("r+b") as stream:
                stream.truncate(len(whole) + 1 if whole else 0)
            return
        with self.path.open("ab") as stream:
            stream.write(b"\n")
