"""The log of live changes: ``live/changes.jsonl`` in the workspace, appended to by one process and read by many.

The first line binds the log to the artifacts that it was made for. Every other line is a change. A line without its end
was cut off while it was written, so its change was never acknowledged: readers skip it, and the next writer removes it.
"""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from r4t_ray.artifacts import Workspace, read_manifest
from r4t_ray.artifacts.lock import locked
from r4t_ray.errors import ArtifactError, MachineError
from r4t_ray.files import flush, whole_file
from r4t_ray.live.changes import Change, change_of, line_of, signed, verified

LIVE = "live"
"""Folder of the live changes in the workspace. No stage reads it."""
CHANGES = "changes.jsonl"
BOUND_TO = ("catalogue", "encoder", "index")
"""Stages whose contents the changes were made for."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a log begins: the generation under it, and the number of the last change in that generation."""

    generation: int = 0
    sequence: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Whole lines of a log that were not read before. ``start`` is set if the log began anew."""

    start: Start | None
    changes: list[Change]


class LogReader:
    """Reads the log of a workspace as it grows.

    ``parents`` are the fingerprints of the stages that a log must have been made for, ``dim`` the width of embeddings.

    Args:
        workspace: A workspace with ``catalogue``, ``encoder`` and ``index``. Its manifests are read here, once.

    Raises:
        MissingArtifactError: A stage has not run.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.path = log_path(workspace)
        self.parents = {stage: read_manifest(workspace.root / stage).fingerprint for stage in BOUND_TO}
        self.dim = pq.read_schema(workspace.root / "encoder" / "items.parquet").field("embedding").type.list_size
        self._first, self._position, self._lines, self._sequence = b"", 0, 0, 0

    def read(self) -> Found:
        """The whole lines since the last call; none if the log is as it was.

        Raises:
            ArtifactError: A line was changed, or the log was made for other artifacts. The next call reads the same
                lines again.
        """
        try:
            first, position, new = self._new_bytes()
        except FileNotFoundError:
            was_there, self._first, self._position = bool(self._first), b"", 0
            return Found(start=Start() if was_there else None, changes=[])
        whole, end, _ = new.rpartition(b"\n")
        start, changes = None, list[Change]()
        lines, sequence = (self._lines, self._sequence) if position else (0, 0)
        for line in whole.split(b"\n") if end else ():
            lines += 1
            where = f"{self.path}, line {lines}"
            fields = verified(line, where)
            if lines == 1:
                start = self._start_of(fields, where)
                sequence = start.sequence
            else:
                changes.append(change_of(fields, self.dim, where))
                sequence = _next(sequence, changes[-1], where)
        self._first, self._position = first, position + len(whole) + len(end)
        self._lines, self._sequence = lines, sequence
        return Found(start=start, changes=changes)

    def rewind(self) -> None:
        """Let the next call of ``read`` begin at the first line."""
        self._position = 0

    def first_line(self, start: Start) -> bytes:
        """The first line of a new log that begins there. No two logs have the same."""
        fields = {"generation": start.generation, "sequence": start.sequence, "log": uuid.uuid4().hex}
        return signed({**fields, "parents": self.parents})

    def _new_bytes(self) -> tuple[bytes, int, bytes]:
        """The first line, the position from which on nothing was read, and the bytes from there.

        It is 0 for another log than the one that was read, and for a log that lost lines that were read.
        """
        with self.path.open("rb") as file:
            first = file.readline()
            if not first.endswith(b"\n"):
                raise ArtifactError(str(self.path), "no first line", "a log of live changes", "put a copy in its place")
            is_same = first == self._first and os.fstat(file.fileno()).st_size >= self._position
            position = self._position if is_same else 0
            file.seek(position)
            return first, position, file.read()

    def _start_of(self, fields: dict[str, Any], where: str) -> Start:
        try:
            start = Start(generation=fields["generation"], sequence=fields["sequence"])
            parents: dict[str, str] = fields["parents"]
        except KeyError as error:
            raise ArtifactError(where, f"no {error}", "the first line of a log", "put a copy in its place") from None
        for stage, fingerprint in self.parents.items():
            if parents.get(stage) != fingerprint:
                raise ArtifactError(
                    str(self.path),
                    f"live changes made for another '{stage}' ({parents.get(stage, 'none')[:12]})",
                    f"changes of the '{stage}' that is here ({fingerprint[:12]})",
                    f"move {self.path.parent} away and send the changes again, or put the former '{stage}' back",
                )
        return start


class ChangeLog:
    """The log of a workspace in the one process that appends to it.

    Opening makes the log if it is missing, and cuts off a line that has no end.

    Args:
        workspace: The workspace.
        reader: Its reader.

    Raises:
        ArtifactError: Another process appends to the log.
        MachineError: The folder cannot be written.
    """

    def __init__(self, workspace: Workspace, reader: LogReader) -> None:
        self._path = reader.path
        self._held = ExitStack()
        try:
            self._held.enter_context(locked(self._path.parent))
            if not self._path.exists():
                begin_log(self._path, reader.first_line(Start()))
            self._file = self._held.enter_context(FileIO(self._path, "rb+"))
            self._file.truncate(self._file.readall().rfind(b"\n") + 1)
            os.fsync(self._file.fileno())
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            self.close()
            raise unwritable(self._path, error) from None
        except ArtifactError:
            self.close()
            raise

    def append(self, change: Change) -> None:
        """Write a change and flush it to the disk. After an error the log is closed; open it again.

        Raises:
            MachineError: The change could not be written, and may or may not be kept. Or another file was put in the
                place of the log, and the change was not written.
        """
        left = memoryview(line_of(change))
        try:
            if not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
                raise FileNotFoundError(errno.ENOENT, "another file than the one that was opened")
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self.close()
            raise unwritable(self._path, error) from None

    def restart(self, first_line: bytes) -> None:
        """Put a log with one line in the place of this one, on the disk, at once. Raises as ``append``."""
        try:
            begin_log(self._path, first_line)
            self._file.close()
            self._file = self._held.enter_context(FileIO(self._path, "ab"))
        except OSError as error:
            self.close()
            raise unwritable(self._path, error) from None

    def close(self) -> None:
        """Let another process append."""
        self._held.close()


def log_path(workspace: Workspace) -> Path:
    """Where the log of a workspace is."""
    return workspace.root / LIVE / CHANGES


def begin_log(path: Path, first_line: bytes) -> None:
    """Put a log with one line in the place of ``path``, on the disk, at once."""
    with whole_file(path) as partial:
        partial.write_bytes(first_line)
    flush(path.parent)


def _next(sequence: int, change: Change, where: str) -> int:
    if change.sequence != sequence + 1:
        got, expected = f"change {change.sequence}", f"change {sequence + 1}, because none may be missing"
        raise ArtifactError(where, got, expected, "put a copy of the file in its place")
    return change.sequence


def unwritable(path: Path, error: OSError) -> MachineError:
    """The error of a disk that refuses."""
    return MachineError(str(path), f"{error.strerror or error}", "a file that can be written", "free or mount the disk")
