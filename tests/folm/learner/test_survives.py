"""Soft-GRPO under faults: processes are killed or stopped, and the run gives the same results as an unbroken run."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file

from r4t_ray.artifacts import Workspace
from r4t_ray.folm.learner.status import read_status
from r4t_ray.folm.weights.disk import MARKER
from r4t_ray.machine.ray_train_runs import SNAPSHOT, STAGING
from tests.processes import kill_all, kill_driver, last_of, named, running, wait_for

STEPS = 6
FOLM: dict[str, Any] = {
    "tasks": ["oar"],
    "k": 5,
    "num_hits": 2,
    "max_completion_tokens": 64,
    "engine": {"type": "transformers"},
    "rollout_timeout_s": 60,
    "rollout": {"threads": 1},
    "learner": {"threads": 1},
    "warm_start": {"num_passes": {"oar": 0}, "num_recombined": {"oar": 0}},
    "grpo": {
        "oar": {
            "num_steps": STEPS,
            "queries_per_step": 2,
            "num_generations": 4,
            "micro_batch_size": 8,
            "learning_rate": 1e-3,
            "lr_scheduler": "constant_with_warmup",
            "bf16": False,
            "max_logp_gap": 1e-3,
            "checkpoint_every": 2,
        }
    },
}
LEARNER, ROLLOUT = "ray::RayTrainWorker", "ray::RolloutWorker"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Run:
    """`train-folm` on a copy of a workspace, in its own process."""

    def __init__(self, repository: Path, source: Workspace, folder: Path, **changes: Any) -> None:
        self.folder, self._repository = folder, repository
        self.workspace = folder / "workspace"
        if not self.workspace.exists():
            shutil.copytree(source.root, self.workspace)
        (folder / "config.yaml").write_text(yaml.safe_dump({"folm": FOLM | changes, "catalogue": CATALOGUE}))

    def started(self) -> AbstractContextManager[psutil.Process]:
        """Start the driver. It is ended when the context ends."""
        arguments = [str(self.folder / "config.yaml"), "--workspace", str(self.workspace)]
        return running("train-folm", arguments, self._repository, self.folder / "log.txt")

    def wait_for(self, what: Callable[[], Any], driver: psutil.Process) -> Any:
        """Poll until ``what`` holds. Fails if the driver ends first."""
        return wait_for(what, driver, self.folder / "log.txt")

    def finish(self) -> list[dict[str, Any]]:
        """Run to the end and return the metrics."""
        with self.started() as driver:
            assert driver.wait(timeout=400) == 0, self.log
        return self.rows()

    def finish_with_a_killed_learner(self) -> list[dict[str, Any]]:
        """Kill the learner after the first checkpoint, run to the end and return the metrics."""
        with self.started() as driver:
            self.wait_for(self.has_checkpoint, driver)
            (learner,) = named(driver, LEARNER)
            learner.send_signal(signal.SIGKILL)
            assert driver.wait(timeout=400) == 0, self.log
        return self.rows()

    def moved(self) -> set[str]:
        """Names of the parameters in which the trained model differs from its warm start."""
        folders = (self.workspace / "folm/oar" / name for name in ("model", "warm_start"))
        model, base = (load_file(folder / "model.safetensors") for folder in folders)
        return {name for name in base if not np.array_equal(base[name], model[name])}

    def rows(self) -> list[dict[str, Any]]:
        """The metrics of the finished stage."""
        return pq.read_table(self.workspace / "folm" / "metrics.parquet").to_pylist()

    @property
    def log(self) -> str:
        """The end of the driver's log."""
        return last_of(self.folder / "log.txt")

    def has_second_weights(self) -> bool:
        """Whether the learner has published the weights of its first update."""
        return any((self.workspace / "folm.partial/oar/weights").glob("*/step-00000002"))

    def has_checkpoint(self) -> bool:
        """Whether Ray Train has recorded a checkpoint of the run."""
        snapshot = self.workspace / "folm.partial" / "oar" / STAGING / "oar" / SNAPSHOT
        return snapshot.exists() and '"checkpoint_dir_name"' in snapshot.read_text()


CATALOGUE = {"type": "cookbook"}


def assert_same_run(rows: list[dict[str, Any]], unbroken: list[dict[str, Any]], *, resumed: bool) -> None:
    """Check that every step is there once, with the samples, rewards and losses of the unbroken run."""
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert [row["weights"] for row in rows] == [row["weights"] for row in unbroken]
    # A resumed run has rows of the first start and of the second.
    starts = [row["start"] for row in rows]
    assert starts == sorted(starts)
    assert (starts[0], starts[-1]) == ((1, 2) if resumed else (1, 1))
    for name in ("update/loss", "reward", "mean_tokens", "update/grad_norm", "update/learning_rate"):
        got, expected = ([row[name] for row in of] for of in (rows, unbroken))
        assert got == pytest.approx(expected, abs=1e-5), name


@pytest.fixture(scope="module")
def unbroken(repository: Path, indexed_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    rows = Run(repository, indexed_workspace, tmp_path_factory.mktemp("unbroken")).finish()
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert len({row["update/loss"] for row in rows}) == STEPS
    return rows


def test_a_learner_killed_in_a_step_resumes_from_its_checkpoint(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any]
) -> None:
    rows = Run(repository, indexed_workspace, tmp_path).finish_with_a_killed_learner()
    assert_same_run(rows, unbroken, resumed=True)


def test_a_driver_stopped_by_sigterm_leaves_a_checkpoint_and_the_rerun_resumes(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any]
) -> None:
    run = Run(repository, indexed_workspace, tmp_path)
    with run.started() as driver:
        run.wait_for(run.has_second_weights, driver)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=200) == 128 + signal.SIGTERM, run.log
    assert run.has_checkpoint()
    assert not (run.workspace / "folm").exists()
    (status,) = read_status(run.workspace)
    assert (status["task"], status["num_steps"], status["starts"]) == ("oar", STEPS, 1)
    assert 2 <= status["step"] <= STEPS
    assert status["samples_per_s"] > 0
    assert {"groundedness", "vendi", "alignment"} <= set(status["components"])
    kept = (run.workspace / "folm.partial/oar/warm_start").stat().st_mtime_ns
    assert_same_run(run.finish(), unbroken, resumed=True)
    assert read_status(run.workspace) == []
    assert (run.workspace / "folm/oar/warm_start").stat().st_mtime_ns == kept
    assert sorted(path.name for path in (run.workspace / "folm/oar").iterdir()) == [
        "metrics.parquet",
        "model",
        "trl",
        "warm_start",
    ]
    assert not list((run.workspace / "folm").rglob("checkpoint*"))


def killed_run(repository: Path, source: Workspace, folder: Path) -> Run:
    """A run whose driver was killed after the first checkpoint."""
    run = Run(repository, source, folder)
    with run.started() as driver:
        run.wait_for(run.has_checkpoint, driver)
        kill_driver(driver)
    return run


def test_a_killed_driver_loses_only_the_steps_since_the_checkpoint(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any]
) -> None:
    run = killed_run(repository, indexed_workspace, tmp_path)
    assert_same_run(run.finish(), unbroken, resumed=True)


def test_a_run_with_other_settings_does_not_resume_from_the_checkpoint(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any]
) -> None:
    killed_run(repository, indexed_workspace, tmp_path)
    other = dict(FOLM["grpo"]["oar"]) | {"learning_rate": 2e-3}
    rows = Run(repository, indexed_workspace, tmp_path, grpo={"oar": other}).finish()
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert rows[0]["update/learning_rate"] == pytest.approx(2e-3)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rollout_actor_that_is_killed_or_hangs_is_restarted_and_repeats_its_request(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any], signum: int
) -> None:
    run = Run(repository, indexed_workspace, tmp_path, rollout_timeout_s=60)
    with run.started() as driver:
        run.wait_for(run.has_second_weights, driver)
        (actor,) = named(driver, ROLLOUT)
        os.kill(actor.pid, signum)
        assert driver.wait(timeout=400) == 0, run.log
    assert_same_run(run.rows(), unbroken, resumed=False)
    assert sum(row["fault/restarted"] for row in run.rows()) == 1
    if signum == signal.SIGSTOP:
        assert "has not answered in 60 s" in (tmp_path / "log.txt").read_text()


def test_all_rollout_actors_killed_at_once_are_restarted_and_repeat_their_requests(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    two = {"rollout": {"num": 2, "cpus": 0.5, "threads": 1}}
    whole = Run(repository, indexed_workspace, tmp_path / "whole", **two).finish()
    run = Run(repository, indexed_workspace, tmp_path / "killed", **two)
    with run.started() as driver:
        run.wait_for(run.has_second_weights, driver)
        actors = named(driver, ROLLOUT)
        assert len(actors) == 2
        kill_all(actors)
        assert driver.wait(timeout=400) == 0, run.log
    assert_same_run(run.rows(), whole, resumed=False)
    assert sum(row["fault/restarted"] for row in run.rows()) == 1


def test_only_adapters_train_and_they_reach_the_engine_and_survive_a_killed_learner(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    lora = {"lora": {"rank": 4, "alpha": 8}}
    whole = Run(repository, indexed_workspace, tmp_path / "whole", **lora)
    rows = whole.finish()
    assert all(row["update/logp_gap_max"] < 1e-3 for row in rows)
    moved = {name.split(".")[-2] for name in whole.moved()}
    assert moved == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    killed = Run(repository, indexed_workspace, tmp_path / "killed", **lora)
    assert_same_run(killed.finish_with_a_killed_learner(), rows, resumed=True)


def test_a_run_with_weights_sent_from_memory_resumes_after_a_killed_engine(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    engine = {"type": "vllm", "max_model_len": 192, "max_num_seqs": 16, "weight_transfer": "gloo"}
    two = {"num": 2, "cpus": 0.5, "threads": 1}
    run = Run(repository, indexed_workspace, tmp_path, engine=engine, rollout=two)
    with run.started() as driver:
        run.wait_for(run.has_checkpoint, driver)
        assert not (run.workspace / "folm.partial/oar/weights").exists()
        named(driver, ROLLOUT)[0].send_signal(signal.SIGKILL)
        assert driver.wait(timeout=400) == 0, run.log
    rows = run.rows()
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert [row["weights"] for row in rows] == [f"step-{2 * step:08d}" for step in range(STEPS)]
    assert {row["start"] for row in rows} == {1, 2}
    assert all(row["update/logp_gap_max"] < 1e-3 for row in rows)
    assert run.moved()


def test_two_learners_train_on_samples_of_the_same_weights(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    two = {"learner": {"num": 2, "threads": 1}, "rollout": {"cpus": 0, "threads": 1}, "lora": {"rank": 4}}
    run = Run(repository, indexed_workspace, tmp_path, **two)
    rows = run.finish()
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert all(row["update/logp_gap_max"] < 1e-3 for row in rows)
    assert run.moved()


def test_a_full_disk_ends_the_run_with_a_reason_and_no_partial_weights_are_marked_complete(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any]
) -> None:
    """A limit of 1 MB per file stands for a disk that fills up during a write."""
    run = Run(repository, indexed_workspace, tmp_path)
    with run.started() as driver:
        (learner,) = run.wait_for(lambda: named(driver, LEARNER), driver)
        learner.rlimit(psutil.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        assert driver.wait(timeout=300) == 2, run.log
    assert "weights that cannot be written" in run.log
    assert not list((run.workspace / "folm.partial/oar/weights").rglob(MARKER))
    rows = run.finish()
    assert [row["reward"] for row in rows] == pytest.approx([row["reward"] for row in unbroken], abs=1e-5)


def test_weights_that_cannot_be_written_end_the_run_with_a_reason(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path
) -> None:
    run = Run(repository, indexed_workspace, tmp_path)
    weights = run.workspace / "folm.partial/oar/weights"
    with run.started() as driver:
        run.wait_for(lambda: (run.workspace / "folm.partial/oar/warm_start").exists(), driver)
        weights.write_text("a file where the folder should be")
        assert driver.wait(timeout=300) == 2, run.log
    assert f"error: {weights}" in run.log
    assert "weights that cannot be written" in run.log
    assert not (run.workspace / "folm").exists()
    weights.unlink()
    assert [row["step"] for row in run.finish()] == list(range(STEPS))


def test_with_staleness_one_samples_come_from_the_previous_weights(
    repository: Path, indexed_workspace: Workspace, tmp_path: Path, unbroken: list[Any]
) -> None:
    stale = dict(FOLM["grpo"]["oar"]) | {"max_staleness": 1}
    rows = Run(repository, indexed_workspace, tmp_path, grpo={"oar": stale}).finish()
    assert [row["staleness"] for row in rows] == [0.0] + [1.0] * (STEPS - 1)
    # Steps 0 and 1 are both sampled from the first weights, step t from the weights before update t - 1.
    names = [f"step-{2 * max(0, step - 1):08d}" for step in range(STEPS)]
    assert [row["weights"] for row in rows] == names
    assert [row["staleness"] for row in unbroken] == [0.0] * STEPS
    assert rows[0]["update/loss"] == pytest.approx(unbroken[0]["update/loss"], abs=1e-5)
    assert rows[1]["update/logp_gap_mean"] > 10 * unbroken[1]["update/logp_gap_mean"]
