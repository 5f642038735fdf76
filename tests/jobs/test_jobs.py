"""The job script, run with python and by `ray job submit` on a running Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r4t_ray import pipeline
from r4t_ray.artifacts import Workspace
from r4t_ray.stages import PIPELINE, STAGES

JOB = "jobs/stage.py"


def test_the_job_lists_every_stage(repository: Path) -> None:
    command = [sys.executable, JOB, "--help"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert [name for name in (*(stage.name for stage in STAGES), PIPELINE) if name not in done.stdout] == []


@pytest.mark.parametrize("name", [*(stage.name for stage in STAGES), PIPELINE])
def test_the_job_runs_the_stage_that_it_is_given(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(pipeline, "run_command", lambda *arguments: called.append(arguments))
    pipeline.main([name, "experiment.yaml", "--workspace", str(tmp_path)])
    assert called == [(name, Path("experiment.yaml"), tmp_path)]


def test_the_job_says_how_it_is_run(repository: Path) -> None:
    assert f"python {JOB} STAGE CONFIG --workspace DIR" in (repository / JOB).read_text()
    assert [path.name for path in (repository / "jobs").glob("*.py")] == ["stage.py"]


def test_an_unknown_stage_is_refused(repository: Path, sets_config: Path, tmp_path: Path) -> None:
    done = run_job(repository, "bake", sets_config, tmp_path / "ws")
    assert done.returncode == 2
    assert "invalid choice: 'bake'" in done.stderr
    assert "synthesize-pairs" in done.stderr


def test_fault_is_a_message_and_status_2(repository: Path, sets_config: Path, tmp_path: Path) -> None:
    sets_config.write_text(sets_config.read_text() + "ingset: {}\n")
    done = run_job(repository, "ingest", sets_config, tmp_path / "ws")
    assert done.returncode == 2
    assert "ingset: Extra inputs are not permitted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ws").exists()


@pytest.mark.timeout(540)
def test_runs_with_python_and_by_ray_job_submit(
    repository: Path, sets_config: Path, ray_head: str, tmp_path: Path
) -> None:
    """`embed` needs the workers of Ray. The stage before it does not."""
    workspace = tmp_path / "ws"
    alone = run_job(repository, "ingest", sets_config, workspace)
    assert alone.returncode == 0, alone.stderr
    assert "r4t_ray.pipeline: ingest: started" in alone.stderr
    check_ingest(workspace)
    done = submit(repository, ray_head, "embed", sets_config, workspace)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr
    table = pq.read_table(Workspace(workspace).artifact("encoder").file("items.parquet"))
    assert table.column("id").to_pylist() == [f"i{number}" for number in range(6)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_submitted_job_that_fails_says_what_to_do(
    repository: Path, sets_config: Path, ray_head: str, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    assert run_job(repository, "ingest", sets_config, workspace).returncode == 0
    failed = submit(repository, ray_head, "train-diffusion", sets_config, workspace)
    assert failed.returncode != 0
    assert "r4t synthesize-pairs" in failed.stdout + failed.stderr


def run_job(repository: Path, stage: str, config: Path, workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, JOB, stage, str(config), "--workspace", str(workspace)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=240)


def submit(
    repository: Path, address: str, stage: str, config: Path, workspace: Path
) -> subprocess.CompletedProcess[str]:
    ray = str(Path(sys.executable).with_name("ray"))
    entry = [sys.executable, JOB, stage, str(config), "--workspace", str(workspace)]
    command = [ray, "job", "submit", "--address", address, "--working-dir", ".", "--", *entry]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)


def check_ingest(workspace: Path) -> None:
    artifact = Workspace(workspace).artifact("catalogue")
    items = pq.read_table(artifact.file("items.parquet"))
    assert items.column("text").to_pylist() == ["salt", "thyme", "oil", "leek", "trout", "lemon"]
    assert pq.read_table(artifact.file("sets.parquet")).num_rows == 12
