"""The lock of a folder, such as a workspace: one process at a time makes artifacts in it.

The owner writes who it is to ``workspace.lock`` and touches the file every BEAT_S seconds. The lock of a process that
ended without removing it is stale, and the next process takes it over:

- On the owner's machine the process table decides. The start time tells a new process with the same pid from the owner.
- Elsewhere (another host, or another container on the host) the age decides, by the clock of the file system. After
  STALE_S seconds without a touch the lock is stale.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from r4t_ray.errors import ArtifactError

LOCK = "workspace.lock"
BEAT_S = 10.0
STALE_S = 120.0

_logger = logging.getLogger(__name__)
_held: dict[Path, int] = {}
"""Locks of this process: path -> number of blocks that hold it."""
_held_guard = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process that holds a lock.

    Attributes:
        host: Its name, for people.
        machine: Boot and process table that ``pid`` belongs to; empty if the system does not tell.
        pid: Process id.
        started: Start time of the process as the system gives it; empty if the system does not tell.
        since: When it took the lock.
        command: Its command line.
        token: A random text for this lock.
    """

    host: str
    machine: str
    pid: int
    started: str
    since: str
    command: str
    token: str


def this_process() -> Owner:
    """This process, with a new token."""
    return Owner(
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        command=" ".join(sys.argv)[:200],
        token=uuid.uuid4().hex,
    )


@contextmanager
def locked(root: Path, option: str = "--workspace") -> Iterator[None]:
    """Hold the lock of the folder ``root``; blocks of one process may be nested.

    Args:
        root: The folder, such as a workspace. It is made if it is missing, and removed if it is empty at the end.
        option: The option of the command line that names it, for the message.

    Raises:
        ArtifactError: Another process holds it.
    """
    path = root / LOCK
    with _held_guard:
        _held[path] = _held.get(path, 0) + 1
        is_first = _held[path] == 1
    try:
        if is_first:
            with _own(path, option):
                yield
        else:
            yield
    finally:
        with _held_guard:
            _held[path] -= 1
            if not _held[path]:
                del _held[path]


@contextmanager
def _own(path: Path, option: str) -> Iterator[None]:
    """Take the lock, keep it fresh, and remove it at the end, with its folder if that is still empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text, ended = json.dumps(asdict(this_process()), indent=2), threading.Event()
    try:
        _take(path, text, option)
        threading.Thread(target=_keep_fresh, args=(path, text, ended), daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            if _text_of(path) == text:
                path.unlink()
    finally:
        with suppress(OSError):
            path.parent.rmdir()


def _take(path: Path, text: str, option: str) -> None:
    while True:
        with path.open("a+", encoding="utf-8") as file:
            with suppress(OSError):  # a file system without flock: then only a start in the same instant goes unseen
                fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                continue  # its owner has removed it meanwhile
            _refuse_if_held(path, file, option)
            file.truncate(0)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            return


def _refuse_if_held(path: Path, file: TextIO, option: str) -> None:
    """Raise ArtifactError if the owner in ``file`` may still work; say so if its lock is taken over."""
    file.seek(0)
    try:
        owner = Owner(**json.load(file))
    except (ValueError, TypeError):
        return  # empty, or cut off while it was written
    is_judged_by_age = not owner.machine or owner.machine != _machine()
    age = _age(path)
    if (age < STALE_S) if is_judged_by_age else _lives(owner):
        left = f", or {max(1, round(STALE_S - age))} s if it was killed" if is_judged_by_age else ""
        raise ArtifactError(
            str(path.parent),
            f"a folder in which process {owner.pid} on {owner.host} works since {owner.since} ({owner.command})",
            "one process at a time, because it replaces files",
            f"wait until it ends{left}, or use another {option}",
        )
    if owner.pid != os.getpid() or is_judged_by_age:
        _logger.warning("%s: process %d on %s ended without removing its lock", path, owner.pid, owner.host)


def _lives(owner: Owner) -> bool:
    """Whether the owner, a process of this machine and not this process, still runs."""
    started = _started(owner.pid)
    if started is not None:
        return started == owner.started and owner.pid != os.getpid()
    try:
        os.kill(owner.pid, 0)
    except PermissionError:
        return True  # another user's process, which the system hides
    except ProcessLookupError:
        return False
    return False  # it has ended, and its parent has not asked for its status yet


def _age(path: Path) -> float:
    """Seconds since the lock was touched, by the clock of its file system, which may be another machine's."""
    with tempfile.TemporaryFile(dir=path.parent) as now:
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime


def _keep_fresh(path: Path, text: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        found = _text_of(path)
        if found is not None and found != text:
            _logger.error("%s: another process has taken the workspace over; stop one of the two", path)
            return
        with suppress(OSError):  # the work itself meets a file system that is gone
            os.utime(path)


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _machine() -> str:
    """The boot of this system and its process table. Containers on one host have different tables."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start time of a process in ticks since the boot; None if it has ended or the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
