"""The cluster that Ray Train asks, and its checkpoints: removed if their list cannot be read, and kept otherwise."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from r4t_ray.machine.ray_train_runs import SNAPSHOT, STAGING, drop_broken_state, own_cluster_asked


def kept_state(folder: Path, snapshot: str) -> Path:
    """A checkpoint of a run, and Ray Train's list beside it."""
    run = folder / STAGING / "retrievers"
    (run / "checkpoint_1").mkdir(parents=True)
    (run / SNAPSHOT).write_text(snapshot, encoding="utf-8")
    return run / "checkpoint_1"


def test_a_whole_list_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = kept_state(tmp_path, '{"checkpoint_results": []}')
    drop_broken_state(tmp_path)
    assert checkpoint.is_dir()
    assert not caplog.records


@pytest.mark.parametrize("cut_off", ["", '{"checkpoint_results": [{"checkpoint_dir_name"'])
def test_with_a_list_that_is_cut_off_only_its_checkpoints_are_removed(
    tmp_path: Path, cut_off: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept_state(tmp_path, cut_off)
    (tmp_path / "oar").mkdir()
    with caplog.at_level(logging.WARNING):
        drop_broken_state(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["oar"]
    assert f"{SNAPSHOT} is cut off" in caplog.text


def test_a_run_without_checkpoints_is_left_alone(tmp_path: Path) -> None:
    drop_broken_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_local_run_asks_its_own_cluster(ray_session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.train.v2._internal.constants import get_env_vars_to_propagate

    with own_cluster_asked():
        assert get_env_vars_to_propagate()["RAY_ADDRESS"] == ray.get_runtime_context().gcs_address
    assert "RAY_ADDRESS" not in get_env_vars_to_propagate()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with own_cluster_asked():
        assert get_env_vars_to_propagate()["RAY_ADDRESS"] == "127.0.0.1:9"
    assert os.environ["RAY_ADDRESS"] == "127.0.0.1:9"
