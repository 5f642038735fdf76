"""CPUs and memory that this process may use: the limits of its control groups, where they are below the machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SELF = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
NO_LIMIT = 2**60
"""Version 1 writes a number near 2**63 where there is no limit."""


def usable_cpus(self_file: Path = SELF, groups: Path = GROUPS) -> float:
    """CPUs of this process: those of its affinity, or fewer by the quota of its control groups."""
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quotas = [quota for folder in _folders(self_file, groups, "cpu") if (quota := _quota(folder))]
    return min([cpus, *quotas])


def memory_bytes(self_file: Path = SELF, groups: Path = GROUPS) -> tuple[int, int]:
    """Total and free memory in bytes, within the limits of the control groups. Memory of file caches counts as free."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    # macOS does not tell what is free.
    free = os.sysconf("SC_AVPHYS_PAGES") * page if "SC_AVPHYS_PAGES" in os.sysconf_names else total
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
    for folder in _folders(self_file, groups, "memory"):
        limit, used = _memory(folder)
        if limit is not None and limit < NO_LIMIT:
            total, free = min(total, limit), min(free, max(0, limit - used))
    return total, min(free, total)


def _folders(self_file: Path, groups: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's control group and of the groups above it; none if the system does not tell."""
    try:
        lines = [line.split(":", 2) for line in self_file.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    for number, controllers, path in lines:
        if number == "0":
            root = groups
        elif controller in controllers.split(","):
            root = groups / controllers if (groups / controllers).is_dir() else groups / controller
        else:
            continue
        # In a container the path may be the host's, which is not mounted. The mount is then the group itself.
        folder = root / path.lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root) and each.is_dir())


def _quota(folder: Path) -> float | None:
    """CPUs by ``cpu.max`` (version 2) or ``cpu.cfs_quota_us`` (version 1); None without a limit."""
    limit = _text(folder / "cpu.max").split()
    if not limit:
        limit = [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
    if len(limit) != 2 or not limit[0].isdigit() or not limit[1].isdigit():
        return None
    return int(limit[0]) / int(limit[1])


def _memory(folder: Path) -> tuple[int | None, int]:
    """Limit and use in bytes, without file caches that can be dropped; the limit is None if there is none."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        if _text(folder / limit).isdigit():
            stat = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
            in_use = int(_text(folder / used) or 0) - int(stat.get(cache, 0))
            return int(_text(folder / limit)), max(0, in_use)
    return None, 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
