"""The lock of a workspace: one live owner, whoever it is; the locks of processes that ended are taken over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.artifacts import lock as module
from r4t_ray.artifacts.lock import LOCK, STALE_S, Owner, locked, this_process
from r4t_ray.config import Settings
from r4t_ray.errors import ArtifactError

HOLD = """
import sys, time
from pathlib import Path
from r4t_ray.artifacts.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "ws"


@pytest.fixture
def other(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def leave_lock(root: Path, age_s: float = 0.0, **changes: object) -> Path:
    """A lock as another process leaves it."""
    root.mkdir(exist_ok=True)
    path = root / LOCK
    path.write_text(json.dumps(asdict(replace(this_process(), **changes))))
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def test_a_second_process_is_refused_by_name_and_touches_nothing(root: Path, other: subprocess.Popen[str]) -> None:
    (root / "folm.partial").mkdir()
    with pytest.raises(ArtifactError, match=rf"process {other.pid} on .* works since .*use another --workspace"):
        Workspace(root).build("folm", Settings(), 0, (), lambda folder: 1)
    assert sorted(path.name for path in root.iterdir()) == ["folm.partial", LOCK]


def test_the_lock_of_a_killed_process_is_taken_over(
    root: Path, other: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    other.kill()  # and not waited for: its entry stays in the process table
    deadline = time.monotonic() + 20
    while module._started(other.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    with locked(root):
        assert Owner(**json.loads((root / LOCK).read_text())).pid == os.getpid()
    assert f"process {other.pid} on" in caplog.text


def test_a_live_process_with_the_pid_of_the_owner_is_not_the_owner(root: Path, other: subprocess.Popen[str]) -> None:
    text = json.loads((root / LOCK).read_text())
    (root / LOCK).write_text(json.dumps(text | {"started": "1"}))
    with locked(root):
        pass


@pytest.mark.parametrize("machine", ["another-boot pid:[1]", ""], ids=["other host", "no process table"])
def test_elsewhere_the_age_decides(root: Path, machine: str) -> None:
    leave_lock(root, age_s=STALE_S - 60, machine=machine, host="far", pid=1)
    message = r"process 1 on far.*or (59|60|61) s if it was killed, or use another --out"
    with pytest.raises(ArtifactError, match=message), locked(root, "--out"):
        pass
    leave_lock(root, age_s=STALE_S + 1, machine=machine, host="far", pid=1)
    with locked(root):
        pass


def test_the_owner_keeps_it_fresh(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    with locked(root):
        os.utime(root / LOCK, (0, 0))
        deadline = time.monotonic() + 20
        while (root / LOCK).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert abs((root / LOCK).stat().st_mtime - time.time()) < 20


def test_a_lost_lock_is_reported_and_left_to_its_owner(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    with locked(root):
        (root / LOCK).write_text("another's")
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "another process has taken the workspace over" in caplog.text
    assert (root / LOCK).read_text() == "another's"


def test_blocks_of_one_process_nest_and_leave_nothing(root: Path) -> None:
    with Workspace(root).locked():
        with Workspace(root).locked():
            pass
        assert (root / LOCK).exists()
    assert not root.exists()


@pytest.mark.parametrize("text", ["", '{"host": "ha'], ids=["empty", "cut off"])
def test_a_lock_that_was_never_written_is_free(root: Path, text: str) -> None:
    root.mkdir()
    (root / LOCK).write_text(text)
    with locked(root):
        pass
    assert not root.exists()


def test_own_lock_that_was_left_is_free(root: Path) -> None:
    leave_lock(root)
    with locked(root):
        pass
