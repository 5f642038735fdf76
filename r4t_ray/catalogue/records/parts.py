"""Finds the files of a table of records: one file, a folder of parts as Spark, Polars and Ray write it, or a glob.

Hidden names, which begin with _ or a dot, are not read in a folder or glob: _SUCCESS, _metadata, .part-0.crc. The
name of a folder NAME=VALUE below the given one is a field of all its records.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from r4t_ray.errors import DataError
from r4t_ray.files import sha256_file, sha256_of

TEXT_FORMS = (".jsonl", ".ndjson", ".json", ".csv")
FORMS_IN_WORDS = "a .parquet, .jsonl or .csv file (also .jsonl.gz, .csv.gz), a folder of such parts, or a glob"

_MAGIC = frozenset("*?[")
_NULL = "__HIVE_DEFAULT_PARTITION__"
"""Value of a folder NAME=VALUE that stands for null."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of records, and the fields that the names of its folders give to each record."""

    path: Path
    fields: Mapping[str, str | None] = field(default_factory=dict)


def find_parts(path: Path) -> list[Part]:
    """The files that a path names, sorted by their paths.

    Args:
        path: A file, a folder, or a glob with ``*``, ``?`` or ``[``. ``**`` stands for any folders. ~ is expanded.

    Raises:
        DataError: There is no such file or folder, no file matches, a part has another form, or a folder cannot be
            opened.
    """
    path = path.expanduser()
    try:
        base, files = _files_of(path)
    except OSError as error:
        raise DataError(str(path), f"an unreadable path ({error})", FORMS_IN_WORDS, "correct it or its mode") from None
    if not files:
        fix = "correct the path; names that begin with _ or a dot are not read"
        raise DataError(str(path), "no file of records", FORMS_IN_WORDS, fix)
    return [_part(file, base) for file in files]


def has_records(path: Path) -> bool:
    """Whether a path names records by its form: a folder, a glob, or a file of one of the forms."""
    name = path.name.lower().removesuffix(".gz")
    return path.is_dir() or bool(_MAGIC & set(str(path))) or Path(name).suffix in (*TEXT_FORMS, ".parquet")


def sha256_of_records(path: Path) -> str:
    """The sha256 of a file, or a hash over all parts in their order. It does not depend on where they lie.

    Raises:
        DataError: As ``find_parts``, or a file cannot be opened.
    """
    path = path.expanduser()
    parts = find_parts(path)
    try:
        if path.is_file():
            return sha256_file(path)
        hashes = sha256_of([part.path for part in parts])
    except OSError as error:
        raise DataError(str(path), f"an unreadable file ({error})", "a readable file", "correct its mode") from None
    read = [(form_of(part.path), part.fields, sha256) for part, sha256 in zip(parts, hashes, strict=True)]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()


def form_of(path: Path) -> str:
    """The form of a file by its name: one of TEXT_FORMS, also for its gzip'd file, or .parquet. Raises DataError."""
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in TEXT_FORMS or (suffix == ".parquet" and not name.endswith(".gz")):
        return suffix
    raise DataError(
        str(path),
        f"the suffix '{path.suffix}'",
        FORMS_IN_WORDS,
        "convert or rename the file; to leave a file of a folder out, name the others by a glob such as DIR/*.parquet",
    )


def _files_of(path: Path) -> tuple[Path, list[Path]]:
    """The folder in which the search begins, and the files found. Raises DataError or OSError."""
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        return path, _visible(path, path.rglob("*"))
    if _MAGIC & set(str(path)):
        base = next(parent for parent in path.parents if not _MAGIC & set(str(parent)))
        matches = [Path(name) for name in glob.glob(str(path), recursive=True)]
        return base, _visible(base, {file for match in matches for file in (match, *match.rglob("*"))})
    raise DataError(str(path), "no such file or folder", FORMS_IN_WORDS, "correct the path")


def _visible(base: Path, found: Iterable[Path]) -> list[Path]:
    """The files, sorted, without those whose path below ``base`` has a hidden name."""
    return sorted(
        file
        for file in found
        if file.is_file() and not any(name.startswith(("_", ".")) for name in file.relative_to(base).parts)
    )


def _part(path: Path, base: Path) -> Part:
    form_of(path)
    pairs = [name.split("=", 1) for name in path.relative_to(base).parts[:-1] if "=" in name]
    return Part(path=path, fields={name: None if value == _NULL else unquote(value) for name, value in pairs})
