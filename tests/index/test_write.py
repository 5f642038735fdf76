"""How shards are written: the same bytes with and without Ray, a killed build that continues, and faults."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings
from r4t_ray.embedding_table import embedding_table
from r4t_ray.errors import ArtifactError
from r4t_ray.files import sha256_file
from r4t_ray.index import IndexConfig, run, write, write_index
from r4t_ray.index.index_types import INDEX_TYPES, IndexTypeName
from r4t_ray.index.write import TRAINED_FILE, is_on_ray
from r4t_ray.pipeline import find_fault
from r4t_ray.types import Array

TYPES: list[IndexTypeName] = ["hnsw", "ivf_flat", "ivf_rabitq", "ivf_pq"]
SIZES = {"items": 700, "sets": 90, "queries": 20}


def unit_rows(seed: int, num: int) -> Array:
    rows = np.random.default_rng(seed).normal(size=(num, 16)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


def no_ray() -> NoReturn:
    raise AssertionError("Ray was started")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pool of several shards counts as large."""
    for kind in TYPES:
        monkeypatch.setitem(INDEX_TYPES, kind, INDEX_TYPES[kind]._replace(most_alone=0))


@contextmanager
def one_cpu_taken() -> Iterator[None]:
    """One of the two CPUs of the shared Ray is taken, so that tasks run one after the other."""
    import ray

    class Holder:
        def hold(self) -> None: ...

    holder: Any = ray.remote(Holder).options(num_cpus=1).remote()
    ray.get(holder.hold.remote())
    try:
        yield
    finally:
        ray.kill(holder)


@pytest.mark.parametrize("kind", TYPES)
def test_tasks_write_the_bytes_of_one_process_with_any_number_of_cpus(
    ray_session: str, large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: IndexTypeName
) -> None:
    config, emb_MD = IndexConfig(type=kind, num_shards=3), unit_rows(0, 700)
    settings = write_index(config, emb_MD, tmp_path / "two")
    if kind == "ivf_pq":
        with one_cpu_taken():
            write_index(config, emb_MD, tmp_path / "one")
        assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    monkeypatch.setattr(write, "connected_to_ray", no_ray)
    with pytest.raises(AssertionError, match="Ray was started"):
        write_index(config, emb_MD, tmp_path / "started")
    monkeypatch.setitem(INDEX_TYPES, kind, INDEX_TYPES[kind]._replace(most_alone=emb_MD.size))
    assert write_index(config, emb_MD, tmp_path / "none") == settings
    assert hashes(tmp_path / "none") == hashes(tmp_path / "two")
    assert [*hashes(tmp_path / "two")] == ["index.json", *(f"shard_00{number}.faiss" for number in range(3))]


def test_only_several_shards_of_a_large_pool_are_added_on_ray() -> None:
    for kind in INDEX_TYPES:
        assert not is_on_ray(kind, 100_000 * 128, 2)
        assert not is_on_ray(kind, 10**12, 1)
        assert is_on_ray(kind, 10**9, 2) == (kind != "flat")
    assert [is_on_ray("hnsw", num, 2) for num in (2**25, 2**25 + 1)] == [False, True]
    assert [is_on_ray("ivf_pq", num, 2) for num in (2**29, 2**29 + 1)] == [False, True]


def write_embeddings(folder: Path) -> int:
    for seed, (kind, size) in enumerate(SIZES.items()):
        table = embedding_table([f"{kind}{row}" for row in range(size)], unit_rows(seed, size))
        pq.write_table(table, folder / f"{kind}.parquet")
    return sum(SIZES.values())


def embedded(root: Path) -> Workspace:
    workspace = Workspace(root)
    workspace.build("encoder", Settings(), 0, [], write_embeddings)
    return workspace


KILLED = """
import os, signal, sys
import faiss
from r4t_ray.artifacts import Workspace
from r4t_ray.index import IndexConfig, run

written = faiss.write_index

def write_index(index, path):
    if "shard_001" in path:
        open(path, "wb").write(b"half a shard")
        os.kill(os.getpid(), signal.SIGKILL)
    written(index, path)

faiss.write_index = write_index
run(IndexConfig(type="ivf_rabitq", num_shards=3), Workspace(sys.argv[1]), seed=0)
"""
"""A build that is killed while it writes the second shard of its first pool."""


def test_a_build_killed_after_its_first_shard_continues_and_ends_with_the_same_bytes(
    ray_session: str, large: None, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = IndexConfig(type="ivf_rabitq", num_shards=3)
    unbroken = run(config, embedded(tmp_path / "unbroken"), seed=0)
    workspace = embedded(tmp_path / "broken")
    done = subprocess.run([sys.executable, "-c", KILLED, str(workspace.root)], cwd=repository)
    assert done.returncode == -signal.SIGKILL
    (pool,) = (path for path in (workspace.root / "index.partial").iterdir() if path.is_dir())
    left = {path.name: path.stat().st_mtime_ns for path in pool.iterdir()}
    assert {TRAINED_FILE, "shard_000.faiss"} < set(left)
    assert len(left) == 3  # and the half-written file
    trained = []
    train_index = write.train_index
    monkeypatch.setattr(write, "train_index", lambda *of: (trained.append(len(of[1])), train_index(*of))[1])
    artifact = run(config, workspace, seed=0)
    assert artifact.manifest.files == unbroken.manifest.files
    assert (artifact.path / pool.name / "shard_000.faiss").stat().st_mtime_ns == left["shard_000.faiss"]
    assert len(trained) == 1  # the other pool
    assert not [name for name in artifact.manifest.files if "trained" in name or "partial" in name]


def test_a_build_cut_off_after_its_pools_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = IndexConfig(type="ivf_flat", num_shards=2, target_recall=0.9)
    unbroken = run(config, embedded(tmp_path / "unbroken"), seed=0)
    workspace = embedded(tmp_path / "broken")
    with monkeypatch.context() as patched:
        patched.setattr("r4t_ray.index.build.recall_against_flat", lambda *_: no_ray())
        with pytest.raises(AssertionError):
            run(config, workspace, seed=0)
    (pool,) = (path for path in (workspace.root / "index.partial").iterdir() if path.is_dir())
    (pool / TRAINED_FILE).write_bytes(b"left by a kill between the last two steps")
    assert run(config, workspace, seed=0).manifest.files == unbroken.manifest.files


@pytest.mark.parametrize("on_ray", [False, True], ids=["one process", "tasks"])
def test_a_broken_trained_index_is_an_error_that_says_what_to_remove(
    ray_session: str, large: None, tmp_path: Path, on_ray: bool
) -> None:
    emb_MD, folder = unit_rows(0, 700), tmp_path / "items"
    folder.mkdir()
    (folder / TRAINED_FILE).write_bytes(b"IwFl and nothing more")
    with pytest.raises(ArtifactError) as caught:
        write_index(IndexConfig(type="ivf_flat", num_shards=2 if on_ray else 1), emb_MD, folder)
    fault = find_fault(caught.value)
    assert isinstance(fault, ArtifactError)
    assert (fault.where, fault.fix) == (str(folder / TRAINED_FILE), f"remove {folder} and run the command again")
    assert [*hashes(folder)] == [TRAINED_FILE]
