"""Checks of the folders that Ray and the libraries write to: HOME, the folder for temporary files, shared memory."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
import tempfile
from pathlib import Path

from r4t_ray.machine.findings import Finding
from r4t_ray.machine.limits import memory_bytes

WRITABLE = "a folder that this user may write"
LEAST_DISK = 2**29
ADVISED_DISK = 5 * 2**30
LEAST_SHARED = 2**24
"""Below this even the semaphores of Python's multiprocessing find no room."""
RAY_SHARE = 0.3
"""Share of the free memory that Ray takes for its objects."""
RAY_REFUSES_SLOW_ABOVE = 10**10
"""Ray does not start if its objects take more bytes than this and do not fit into shared memory."""
SHARED = Path("/dev/shm")
SESSION = "ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""The longest path of a Unix socket below Ray's folder for temporary files."""
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103


def check_home() -> Finding:
    """Whether HOME can be written. vLLM, Triton and the Hugging Face libraries keep their caches there."""
    fix = f"export HOME=DIR with such a folder, as in HOME={temporary_folder()}/home"
    try:
        home = Path.home()
    except RuntimeError:
        return Finding(name="HOME", value="not set, and the user has none", fix=fix, required=True, expected=WRITABLE)
    return folder_finding("HOME", home, fix)


def check_user() -> Finding:
    """Whether the user has a name. torch and others ask for it; a container may run with an id that has none."""
    try:
        return Finding(name="user", value=getpass.getuser(), required=True)
    except (KeyError, OSError):
        return Finding(
            name="user",
            value=f"id {os.getuid()}, which has no name",
            fix="export USER=r4t",
            required=True,
            expected="a user with a name",
        )


def temporary_folder() -> Path:
    """Where Ray keeps the files of a session: RAY_TMPDIR, TMPDIR or /tmp."""
    given = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if sys.platform == "linux" else None)
    return Path(given or "/tmp")


def check_temporary_folder() -> Finding:
    """Whether folders for temporary files can be written, and Ray's sockets have paths of at most LONGEST_SOCKET."""
    folder, python_folder = temporary_folder(), Path(os.environ.get("TMPDIR") or "/tmp")
    variable = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
    if not why_not_writable(folder) and why_not_writable(python_folder):
        folder, variable = python_folder, "TMPDIR"
    fix = f"export {variable}=DIR with a short path, as in {variable}=/tmp"
    length = len(os.fsencode(str(folder / SESSION.format(pid=os.getpid()))))
    problem = why_not_writable(folder)
    if not problem and length > LONGEST_SOCKET:
        room = LONGEST_SOCKET - length + len(os.fsencode(str(folder)))
        problem = f"a path of {len(os.fsencode(str(folder)))} bytes, which makes Ray's sockets too long"
        fix += f" (at most {room} bytes)"
    return folder_finding(variable, folder, fix, problem=problem, expected=f"{WRITABLE}, with a short path")


def check_shared_memory() -> Finding:
    """Whether shared memory has room for Ray's objects. They are slow elsewhere, and Ray refuses large ones there."""
    name = f"shared memory ({SHARED})"
    if not SHARED.is_dir():
        return Finding(name=name, value="none: Ray keeps its objects on disk")
    free, wanted = shutil.disk_usage(SHARED).free, int(memory_bytes()[1] * RAY_SHARE)
    allows_slow = bool(os.environ.get("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE"))
    is_refused = free < LEAST_SHARED or (free < wanted and wanted > RAY_REFUSES_SLOW_ABOVE and not allows_slow)
    size = f"{max(1, round(wanted / 2**30))}g"
    fix = f"remove files in {SHARED}, or give it {size} (docker run --shm-size={size})"
    return Finding(
        name=name,
        value=f"{_amount(free)} free, and Ray wants {_amount(wanted)} for its objects",
        fix="" if free >= wanted else fix,
        required=is_refused,
        expected=f"{_amount(wanted)} or more" if free >= LEAST_SHARED else f"{_amount(LEAST_SHARED)} or more",
    )


def check_disk(name: str, folder: Path) -> Finding:
    """Whether there is room on the disk of ``folder``, which may not exist yet."""
    there = _nearest_existing(folder)
    free = shutil.disk_usage(there).free
    fix = "" if free >= ADVISED_DISK else f"free some space on the disk of {there}, or name a folder on another disk"
    return Finding(
        name=f"disk of {name}",
        value=f"{_amount(free)} free at {there}",
        fix=fix,
        required=free < LEAST_DISK,
        expected=f"{_amount(LEAST_DISK)} or more; a language model needs several times its size",
    )


def check_workspace(folder: Path) -> Finding:
    """Whether the workspace can be written."""
    return folder_finding("workspace", folder, f"name {WRITABLE}: --workspace DIR")


def folder_finding(
    name: str,
    folder: Path,
    fix: str,
    *,
    problem: str | None = None,
    required: bool = True,
    expected: str = WRITABLE,
) -> Finding:
    """The finding about a folder that has to be written; ``problem`` is ``why_not_writable`` unless it is given."""
    if problem is None:
        problem = why_not_writable(folder)
    value, fix = (f"{folder}, {problem}", fix) if problem else (str(folder), "")
    return Finding(name=name, value=value, fix=fix, required=required, expected=expected)


def why_not_writable(folder: Path) -> str:
    """Why no file can be made in ``folder``, or in the folder that it would be made in; empty if one can."""
    there = _nearest_existing(folder)
    if not there.is_dir():
        return f"but {there} is a file"
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"which cannot be written by user id {os.getuid()} ({error.strerror})"


def _nearest_existing(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())


def _amount(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
