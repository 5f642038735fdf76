"""Folders that cannot be written, paths that are too long, and disks without room: each is a fault with a fix."""

from __future__ import annotations

import getpass
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from r4t_ray.errors import MachineError
from r4t_ray.machine import folders
from r4t_ray.machine.findings import Finding, refuse_faults
from r4t_ray.machine.folders import (
    LONGEST_SOCKET,
    SESSION,
    check_disk,
    check_home,
    check_shared_memory,
    check_temporary_folder,
    check_user,
    check_workspace,
)
from r4t_ray.machine.ray_sessions import local_ray

Usage = namedtuple("Usage", "total used free")
NO_FOLDER = "/proc/none/at/all"
"""A folder that not even root can make."""
GIB = 2**30


def room(monkeypatch: pytest.MonkeyPatch, free: int, *, memory: int = 8 * GIB) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GIB, 0, free))
    monkeypatch.setattr(folders, "memory_bytes", lambda: (memory, memory))


def is_refused(finding: Finding) -> bool:
    return bool(finding.required and finding.fix)


@pytest.mark.parametrize("check", [check_home, check_temporary_folder, check_user])
def test_this_machine_has_no_fault(check: object) -> None:
    assert not check().fix


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", NO_FOLDER)
    assert is_refused(check_home())
    assert "cannot be written by user id" in check_home().value
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert f"but {tmp_path / 'file'} is a file" in check_home().value
    monkeypatch.setenv("HOME", str(tmp_path / "new"))  # it can be made
    assert not is_refused(check_home())
    assert not (tmp_path / "new").exists()


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", no_name)
    assert check_user().fix == "export USER=r4t"
    assert is_refused(check_user())


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = tmp_path / ("x" * (89 - len(str(tmp_path))))
    long.mkdir()
    monkeypatch.setenv(variable, str(long))
    finding = check_temporary_folder()
    assert is_refused(finding)
    assert "a path of 90 bytes, which makes Ray's sockets too long" in finding.value
    assert f"{variable}=/tmp (at most " in finding.fix
    with pytest.raises(MachineError, match="makes Ray's sockets too long"), local_ray():
        pytest.fail("a local Ray has started")
    most = int(finding.fix.split("at most ")[1].split()[0])
    assert len(str(Path("/" + "y" * (most - 1)) / SESSION.format(pid=folders.os.getpid()))) == LONGEST_SOCKET


@pytest.mark.parametrize(("variable", "other"), [("RAY_TMPDIR", "TMPDIR"), ("TMPDIR", "RAY_TMPDIR")])
def test_a_folder_for_temporary_files_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, variable: str, other: str
) -> None:
    """Ray uses RAY_TMPDIR, and Python TMPDIR."""
    monkeypatch.setenv(variable, NO_FOLDER)
    monkeypatch.setenv(other, "/tmp")
    finding = check_temporary_folder()
    assert is_refused(finding)
    assert (finding.name, finding.value.startswith(NO_FOLDER)) == (variable, True)


@pytest.mark.parametrize(
    ("free", "memory", "refused", "has_fix"),
    [
        (1 * GIB, 2 * GIB, False, False),  # Ray takes 0.6 GiB
        (1 * GIB, 8 * GIB, False, True),  # 2.4 GiB: slow
        (1 * GIB, 64 * GIB, True, True),  # 19.2 GiB: Ray refuses to start
        (1 * 2**20, 2 * GIB, True, True),  # no room for a semaphore
    ],
)
def test_shared_memory(monkeypatch: pytest.MonkeyPatch, free: int, memory: int, refused: bool, has_fix: bool) -> None:
    monkeypatch.delenv("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", raising=False)
    room(monkeypatch, free, memory=memory)
    finding = check_shared_memory()
    assert (is_refused(finding), bool(finding.fix)) == (refused, has_fix)
    assert not has_fix or "--shm-size=" in finding.fix


@pytest.mark.parametrize(
    ("free", "refused", "has_fix"), [(10 * GIB, False, False), (GIB, False, True), (2**28, True, True)]
)
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, refused: bool, has_fix: bool) -> None:
    room(monkeypatch, free)
    finding = check_disk("the workspace", tmp_path / "new" / "folder")
    assert (is_refused(finding), bool(finding.fix)) == (refused, has_fix)
    assert str(tmp_path) in finding.value


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    assert is_refused(check_workspace(Path(NO_FOLDER)))
    assert not is_refused(check_workspace(tmp_path / "new"))


def test_a_required_fault_is_an_error_and_others_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    fine, note = Finding(name="a", value="b", required=True), Finding(name="disk", value="little", fix="free some")
    refuse_faults([fine, note])
    assert caplog.messages == ["disk: little; free some"]
    with pytest.raises(MachineError, match="HOME: got gone; expected a folder; export HOME"):
        refuse_faults([fine, Finding(name="HOME", value="gone", fix="export HOME", required=True, expected="a folder")])
