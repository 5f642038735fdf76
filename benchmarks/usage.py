"""CPU time and memory of a run: of the synthesis graph by kind of process, and of a command as a whole."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

OPERATORS = {"Map(SampleSubQueries)": "fan-outs", "Map(Replay)": "fan-outs", "Map(WritePairs)": "writer"}
LOOK_EVERY_S = 2.0
"""Seconds between two samples of all processes. A sample takes about 25 ms of a core that the engine needs."""


@dataclass(kw_only=True)
class Usage:
    """CPU seconds and peak resident bytes of each kind of process: driver, fan-outs, writer, rest of Ray."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)


@contextmanager
def watched() -> Iterator[Usage]:
    """Sample the CPU time and memory of this process and its children, by kind."""
    import psutil

    usage, done = Usage(), threading.Event()
    kinds: dict[int, str] = {}
    cpu_s: dict[int, float] = {}
    root = psutil.Process()

    def look() -> None:
        sizes: dict[str, int] = defaultdict(int)
        for process in [root, *root.children(recursive=True)]:
            try:
                title, size, times = " ".join(process.cmdline()), process.memory_info().rss, process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            known = kinds.get(process.pid, "driver" if process == root else "rest of Ray")
            kinds[process.pid] = next((kind for name, kind in OPERATORS.items() if name in title), known)
            cpu_s[process.pid] = times.user + times.system
            sizes[kinds[process.pid]] += size
        sizes["all"] = sum(sizes.values())
        for kind, size in sizes.items():
            usage.peak_bytes[kind] = max(usage.peak_bytes.get(kind, 0), size)

    def watch() -> None:
        while not done.wait(LOOK_EVERY_S):
            look()

    before = sum(root.cpu_times()[:2])
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        done.set()
        thread.join()
        look()
        for pid, seconds in cpu_s.items():
            usage.cpu_s[kinds[pid]] = usage.cpu_s.get(kinds[pid], 0.0) + seconds - (before if pid == root.pid else 0.0)


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Seconds of a command, CPU seconds and peak bytes of all its processes. Shared pages are counted once."""

    seconds: float
    cpu_s: float
    peak_bytes: int


WATCHED_SHARE = 0.02
"""Share of the time that samples take at most. Counting the shared pages of a process takes milliseconds."""


def run_watched(command: Sequence[str], every_s: float = 0.2) -> Footprint:
    """Run a command to its end and sample its processes. Raises CalledProcessError if it fails."""
    import psutil

    started, peak = time.perf_counter(), 0
    cpu_s: dict[int, float] = {}
    process = subprocess.Popen(command)
    root = psutil.Process(process.pid)
    while process.poll() is None:
        size, began = 0, time.thread_time()
        for each in [root, *root.children(recursive=True)]:
            try:
                times = each.cpu_times()
                cpu_s[each.pid], size = times.user + times.system, size + each.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended since, or is about to
                continue
        peak = max(peak, size)
        time.sleep(max(every_s, (time.thread_time() - began) / WATCHED_SHARE))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Footprint(seconds=time.perf_counter() - started, cpu_s=sum(cpu_s.values()), peak_bytes=peak)
