"""A driver in a process of its own, the Ray workers below it, and ways to end them without asking."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil


@contextmanager
def running(
    stage: str, arguments: list[str], repository: Path, log: Path, program: tuple[str, ...] = ("jobs/stage.py",)
) -> Iterator[psutil.Process]:
    """The job of a stage, which adds to ``log``; killed with all its children at the end if it has not ended.

    ``program`` may be another one that takes the name of a command and its arguments.
    """
    with log.open("a") as out:
        command = [sys.executable, *program, stage, *arguments]
        process = psutil.Popen(command, cwd=repository, stdout=out, stderr=out)
    try:
        yield process
    finally:
        kill_all([*family(process), process])
        process.wait()


def family(process: psutil.Process) -> list[psutil.Process]:
    """All processes below one."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill those that still live."""
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def kill_driver(driver: psutil.Process) -> None:
    """Kill a driver outright, and then what it leaves."""
    below = family(driver)
    driver.kill()
    driver.wait()
    kill_all(below)


def named(process: psutil.Process, name: str) -> list[psutil.Process]:
    """The Ray workers of a driver whose title starts with a name."""
    found = []
    for each in family(process):
        try:
            if " ".join(each.cmdline()).startswith(name):
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def wait_for(what: Callable[[], Any], driver: psutil.Process, log: Path, seconds: float = 240) -> Any:
    """Poll until ``what`` holds; fails where the driver ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        assert driver.poll() is None, last_of(log)
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}: {last_of(log)}")


def last_of(log: Path) -> str:
    """The last of what a driver said."""
    return log.read_text()[-4000:]
