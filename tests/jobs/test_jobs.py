"""The jobs as a person runs them: with python, and by `ray job submit` on a running Ray."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.stages import STAGES

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.py"))


def test_every_stage_has_a_job() -> None:
    commands = {*(stage.name for stage in STAGES), "pipeline"}
    assert {path.stem.replace("_", "-") for path in JOBS} == commands


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_job_runs_its_own_stage(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    (argument,) = calls[-1].args
    assert isinstance(argument, ast.Constant)
    assert argument.value == path.stem.replace("_", "-")
    assert f"python jobs/{path.name} --config FILE --workspace DIR" in path.read_text()


def test_runs_with_python(repository: Path, sets_config: Path, tmp_path: Path) -> None:
    done = run_job(repository, "ingest", sets_config, tmp_path / "ws")
    assert done.returncode == 0, done.stderr
    assert "r4t_ray.pipeline: ingest: started" in done.stderr
    check_ingest(tmp_path / "ws")


def test_fault_is_a_message_and_status_2(repository: Path, sets_config: Path, tmp_path: Path) -> None:
    sets_config.write_text(sets_config.read_text() + "ingset: {}\n")
    done = run_job(repository, "ingest", sets_config, tmp_path / "ws")
    assert done.returncode == 2
    assert "ingset: Extra inputs are not permitted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ws").exists()


@pytest.mark.timeout(540)
def test_runs_by_ray_job_submit(repository: Path, sets_config: Path, ray_head: str, tmp_path: Path) -> None:
    """The stage that needs Ray's workers; the one before it wants none."""
    workspace = tmp_path / "ws"
    assert run_job(repository, "ingest", sets_config, workspace).returncode == 0
    done = submit(repository, ray_head, "jobs/embed.py", sets_config, workspace)
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
    failed = submit(repository, ray_head, "jobs/train_diffusion.py", sets_config, workspace)
    assert failed.returncode != 0
    assert "r4t synthesize-pairs" in failed.stdout + failed.stderr


def run_job(repository: Path, stage: str, config: Path, workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"jobs/{stage}.py", "--config", str(config), "--workspace", str(workspace)]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=240)


def submit(repository: Path, address: str, job: str, config: Path, workspace: Path) -> subprocess.CompletedProcess[str]:
    ray = str(Path(sys.executable).with_name("ray"))
    entry = [sys.executable, job, "--config", str(config), "--workspace", str(workspace)]
    command = [ray, "job", "submit", "--address", address, "--working-dir", ".", "--", *entry]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)


def check_ingest(workspace: Path) -> None:
    artifact = Workspace(workspace).artifact("catalogue")
    items = pq.read_table(artifact.file("items.parquet"))
    assert items.column("text").to_pylist() == ["salt", "thyme", "oil", "leek", "trout", "lemon"]
    assert pq.read_table(artifact.file("sets.parquet")).num_rows == 12
