"""Files and folders that are whole or absent, and hashes. Each is written under a temporary name and then renamed.

A rename is atomic. A reader therefore sees the old content, the new content, or nothing. A process that is killed
leaves its temporary file or folder, which has a suffix. ``remove_leftovers`` and the next ``whole_folder`` remove it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r4t_ray.errors import MissingArtifactError, R4TError

PARTIAL = ".partial"
"""Ends the name of a file or folder that is being written."""
REPLACED = ".replaced"
"""Ends the name of a folder while another takes its place."""


@contextmanager
def whole_file(path: Path, *, keep_existing: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``. At the end of the block, flush it to disk and rename it to ``path``.

    The temporary name is unique, so two processes may write the same path. When the block raises, nothing is left.

    Args:
        path: The file to be written; its folder exists.
        keep_existing: If ``path`` exists at the end of the block, it stays and the new file is dropped.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        if not (keep_existing and path.exists()):
            partial.replace(path)
    finally:
        if partial.exists():
            partial.unlink()


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees either the old file or the whole new one."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=2, sort_keys=True, ensure_ascii=False)


def write_error(error: R4TError, path: Path) -> None:
    """Write an error to a file that a later process reads."""
    write_json(path, [type(error).__name__, *error.args])


def read_error(path: Path) -> R4TError:
    """The error that ``write_error`` wrote."""
    name, *parts = json.loads(path.read_text(encoding="utf-8"))
    kinds: list[type[R4TError]] = [R4TError, *R4TError.__subclasses__(), MissingArtifactError]
    return {kind.__name__: kind for kind in kinds}[name](*parts)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside ``path``. At the end of the block it takes the place of ``path``.

    When the block raises, the temporary folder stays until the next attempt. One process at a time may write a path.
    """
    partial = partial_folder(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    put_in_place(partial, path)


def partial_folder(path: Path) -> Path:
    """The folder in which ``path`` is being made."""
    return path.with_name(f"{path.name}{PARTIAL}")


def replaced_folder(path: Path) -> Path:
    """The folder to which ``path`` is moved while another takes its place."""
    return path.with_name(f"{path.name}{REPLACED}")


def put_in_place(partial: Path, path: Path) -> None:
    """Rename ``partial`` to ``path``. An existing folder is moved aside first and removed last."""
    finish_replacement(path)
    if path.exists():
        path.rename(replaced_folder(path))
    partial.rename(path)
    finish_replacement(path)


def finish_replacement(path: Path) -> None:
    """Finish a replacement that was cut off: put the old folder back if ``path`` is missing, else remove it."""
    replaced = replaced_folder(path)
    if not path.exists() and replaced.exists():
        replaced.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers left below ``folder``. No process may write there now."""
    for file in folder.rglob(f"*{PARTIAL}"):
        if file.is_file():
            file.unlink()


def sha256_of(files: Sequence[Path]) -> list[str]:
    """Hashes of all files, computed in parallel: hashing a chunk releases the interpreter lock."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(sha256_file, files))


def sha256_file(path: Path) -> str:
    """Hex sha256 of one file, read in chunks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
