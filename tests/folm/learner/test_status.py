"""The output of `r4t status` for a run that is running, stopped, finished or missing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r4t_ray.artifacts import MANIFEST
from r4t_ray.cli import app
from r4t_ray.errors import MissingArtifactError
from r4t_ray.files import write_json
from r4t_ray.folm.learner.metrics import write_metrics
from r4t_ray.folm.learner.run_log import RunLog
from r4t_ray.folm.learner.status import PARTIAL, STATUS, Status, read_status, write_status
from tests.folm.learner.steps import step_of

STATE: Status = {
    "task": "wscr",
    "step": 3,
    "num_steps": 45,
    "reward": 0.25,
    "validation_rewards": [0.2, 0.3],
    "components": {"coverage": 0.2, "expected": 0.26},
    "samples_per_s": 31.4,
    "eta_s": 214.0,
    "staleness": 0.0,
    "starts": 2,
    "faults": {"earlier starts": 1, "dropped samples": 0},
    "updated": 0.0,
}


def status_of(workspace: Path) -> str:
    return CliRunner().invoke(app, ["status", "--workspace", str(workspace)]).output


def test_a_run_shows_step_reward_pace_and_faults(tmp_path: Path) -> None:
    (tmp_path / PARTIAL / "wscr").mkdir(parents=True)
    assert "started, no batch of rollouts yet" in status_of(tmp_path)
    write_json(tmp_path / PARTIAL / "wscr" / STATUS, STATE | {"updated": time.time() - 60})
    assert status_of(tmp_path).splitlines()[:3] == [
        "wscr: step 3 of 45, reward 0.2500 (coverage 0.200, expected 0.260)",
        "  reward of validation queries 0.3000, 0.2000 before training",
        "  31.4 samples/s, 214 s left, staleness 0",
    ]
    assert "  faults: 1 earlier starts; last batch 6" in status_of(tmp_path)


def test_a_finished_stage_shows_finished_and_a_rerun_beside_it_shows_started(tmp_path: Path) -> None:
    (tmp_path / "folm").mkdir()
    write_json(tmp_path / "folm" / MANIFEST, {})
    assert status_of(tmp_path).strip() == "train-folm: finished"
    (tmp_path / PARTIAL).mkdir()
    assert "started" in status_of(tmp_path)


def test_a_workspace_without_the_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="no train-folm, running or finished"):
        read_status(tmp_path)


def test_the_status_holds_the_last_components_and_the_faults_of_all_steps(tmp_path: Path) -> None:
    rows = [
        replace(
            step_of(step),
            task="wscr",
            start=2,
            components={"coverage": 0.2, "start": 1.0},
            component_std={"coverage": 0.1, "start": 0.0},
            faults={"dropped": step, "degenerate_groups": 1, "restarted": 0.5 * step},
            validation_reward=[0.25, None, 0.5][step],
            update={"loss": 0.1},
        )
        for step in range(3)
    ]
    (tmp_path / PARTIAL / "wscr").mkdir(parents=True)
    write_metrics(rows[:1], tmp_path / "rows.parquet")
    log = RunLog(folder=tmp_path / PARTIAL / "wscr", num_steps=12, num_workers=2, starts=2)
    log.resume(tmp_path / "rows.parquet")
    log.add(rows[1:])
    log._started -= 4.0
    write_status(log)
    (status,) = read_status(tmp_path)
    assert status["validation_rewards"] == [0.25, 0.5]
    assert status["components"] == {"coverage": 0.2, "start": 1.0}
    assert status["faults"] == {
        "earlier starts": 1,
        "batches in which a rollout actor died": 2,
        "dropped samples": 3,
        "degenerate groups": 3,
    }
    assert (status["step"], status["num_steps"]) == (3, 12)
    assert status["samples_per_s"] == pytest.approx(2 * 16 / 4.0, rel=0.2)
    assert status["eta_s"] == pytest.approx(9 * 4.0 / 2, rel=0.2)
