"""CPUs and memory within control groups of both versions, of a container and of a nested group."""

from __future__ import annotations

from pathlib import Path

import pytest

from r4t_ray.machine.limits import memory_bytes, usable_cpus

GIB = 2**30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/", {"cpu.max": "50000 100000"}),
        ("0::/slice/job", {"slice/cpu.max": "50000 100000", "slice/job/cpu.max": "max 100000"}),
        ("0::/not/mounted/here", {"cpu.max": "50000 100000"}),
        (
            "4:cpu,cpuacct:/job",
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "50000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"},
        ),
        ("4:cpu:/docker/1", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}),
    ],
    ids=["container", "slice", "path of the host", "version 1", "version 1 in a container"],
)
def test_cpus_are_those_of_the_quota(tmp_path: Path, own: str, files: dict[str, str]) -> None:
    self_file = write(tmp_path, {"self": own}) / "self"
    assert usable_cpus(self_file, write(tmp_path / "groups", files)) == 0.5


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/", {"cpu.max": "max 100000"}),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("0::/", {}),
    ],
)
def test_no_quota_leaves_the_cpus_of_the_process(tmp_path: Path, own: str, files: dict[str, str]) -> None:
    self_file = write(tmp_path, {"self": own}) / "self"
    groups = write(tmp_path / "groups", files)
    assert usable_cpus(self_file, groups) == usable_cpus(tmp_path / "none", groups) >= 1


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (
            "0::/job",
            {
                "job/memory.max": str(GIB // 2),
                "job/memory.current": str(GIB // 4 + 1000),
                "job/memory.stat": "anon 5\ninactive_file 1000",
            },
        ),
        (
            "4:memory:/job",
            {
                "memory/job/memory.limit_in_bytes": str(GIB // 2),
                "memory/job/memory.usage_in_bytes": str(GIB // 4 + 1000),
                "memory/job/memory.stat": "cache 5\ntotal_inactive_file 1000",
            },
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_memory_is_that_of_the_group_and_caches_are_free(tmp_path: Path, own: str, files: dict[str, str]) -> None:
    self_file = write(tmp_path, {"self": own}) / "self"
    assert memory_bytes(self_file, write(tmp_path / "groups", files)) == (GIB // 2, GIB // 4)


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096)])
def test_no_limit_leaves_the_memory_of_the_machine(tmp_path: Path, limit: str) -> None:
    self_file = write(tmp_path, {"self": "0::/\n4:memory:/"}) / "self"
    groups = write(tmp_path / "groups", {"memory.max": limit, "memory/memory.limit_in_bytes": limit})
    total, free = memory_bytes(self_file, groups)
    assert total == memory_bytes(tmp_path / "none", groups)[0]
    assert 0 < free <= total
