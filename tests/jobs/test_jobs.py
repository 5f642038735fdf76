"""The job script, run with python and by `ray job submit` on a running Ray."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r4t_ray import pipeline
from r4t_ray.artifacts import Workspace
from r4t_ray.stages import PIPELINE, STAGES
from tests.jobs.conftest import Head, write_experiment

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
    assert "ingset: no such setting" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ws").exists()


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """An experiment's YAML, the workspace that its first stage made, and the log of that run."""

    config: Path
    root: Path
    log: str


@pytest.fixture(scope="module")
def ingested(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """One run of the job with python, of a stage without Ray."""
    folder = tmp_path_factory.mktemp("ingested")
    config = write_experiment(folder)
    done = run_job(repository, "ingest", config, folder / "ws")
    assert done.returncode == 0, done.stderr
    return Ingested(config=config, root=folder / "ws", log=done.stderr)


def test_a_stage_without_ray_runs_with_python(ingested: Ingested) -> None:
    assert "r4t_ray.pipeline: ingest: started" in ingested.log
    check_ingest(ingested.root)


@pytest.mark.timeout(300)
def test_a_stage_runs_on_the_workers_of_a_running_ray(
    repository: Path, ingested: Ingested, ray_head: Head, tmp_path: Path
) -> None:
    """A head with a token gets the job by `ray job submit`, and a head without one by RAY_ADDRESS."""
    embed_on(ray_head, repository, ingested, tmp_path, is_submitted=ray_head.asks_for_token)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_stage_reaches_each_head_the_other_way_too(
    repository: Path, ingested: Ingested, ray_head: Head, tmp_path: Path
) -> None:
    embed_on(ray_head, repository, ingested, tmp_path, is_submitted=not ray_head.asks_for_token)


def embed_on(head: Head, repository: Path, ingested: Ingested, folder: Path, is_submitted: bool) -> None:
    workspace = folder / "ws"
    shutil.copytree(ingested.root, workspace)
    if is_submitted:
        done = submit(repository, head, "embed", ingested.config, workspace)
        assert "succeeded" in done.stdout + done.stderr
    else:
        # RAY_AUTH_MODE is not set here, whether the head asks for a token or not.
        environment = head.environment | {"RAY_ADDRESS": head.address}
        done = run_job(repository, "embed", ingested.config, workspace, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pq.read_table(Workspace(workspace).artifact("encoder").file("items.parquet"))
    assert table.column("id").to_pylist() == [f"i{number}" for number in range(6)]


TOO_MANY = "folm: {rollout: {num: 4000}}\n"
"""More actors than any machine has CPUs. The job says so once it is connected to Ray."""


@pytest.mark.timeout(300)
def test_a_local_run_leaves_no_token_behind(repository: Path, sets_config: Path, tmp_path: Path) -> None:
    """With ~/.ray/auth_token, the next `ray start --head` would ask its clients for it."""
    home = tmp_path / "home"
    home.mkdir()
    sets_config.write_text(sets_config.read_text() + TOO_MANY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = run_job(repository, "train-folm", sets_config, tmp_path / "ws", environment | {"HOME": str(home)})
    assert done.returncode == 2, done.stderr
    assert "4001 (folm.rollout 4000 x 1, folm.learner 1 x 1), and Ray has " in done.stderr
    assert not (home / ".ray").exists()


@pytest.mark.timeout(300)
def test_faults_of_a_cluster_are_messages(repository: Path, sets_config: Path, ray_head: Head, tmp_path: Path) -> None:
    """Too few CPUs, and a token that this user does not have: both are told before the work starts.

    Each head gets the job in the way in which it does not get the stage that succeeds.
    """
    workspace = tmp_path / "ws"
    sets_config.write_text(sets_config.read_text() + TOO_MANY)
    environment = ray_head.environment | {"RAY_ADDRESS": ray_head.address}
    if ray_head.asks_for_token:
        done = run_job(repository, "train-folm", sets_config, workspace, environment)
        assert done.returncode == 2, done.stderr
        said = done.stderr
    else:
        done = submit(repository, ray_head, "train-folm", sets_config, workspace)
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
    assert "4001 (folm.rollout 4000 x 1, folm.learner 1 x 1), and Ray has 2" in said
    assert "lower folm.rollout.{num,cpus} and folm.learner.{num,cpus}" in said
    if ray_head.asks_for_token:
        stranger = environment | {"HOME": str(tmp_path)}
        done = run_job(repository, "train-folm", sets_config, workspace, stranger)
        assert done.returncode == 2, done.stderr
        assert "asks for a token, and there is none here" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_submitted_job_that_fails_says_what_to_do(
    repository: Path, ingested: Ingested, ray_head: Head, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    shutil.copytree(ingested.root, workspace)
    failed = submit(repository, ray_head, "train-diffusion", ingested.config, workspace)
    assert failed.returncode != 0
    assert "run `r4t embed CONFIG --workspace DIR`" in failed.stdout + failed.stderr


def run_job(
    repository: Path, stage: str, config: Path, workspace: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, JOB, stage, str(config), "--workspace", str(workspace)]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=240)


def submit(repository: Path, head: Head, stage: str, config: Path, workspace: Path) -> subprocess.CompletedProcess[str]:
    ray = str(Path(sys.executable).with_name("ray"))
    entry = [sys.executable, JOB, stage, str(config), "--workspace", str(workspace)]
    command = [ray, "job", "submit", "--address", head.job_server, "--working-dir", ".", "--", *entry]
    return subprocess.run(command, cwd=repository, env=head.variables(), capture_output=True, text=True, timeout=300)


def check_ingest(workspace: Path) -> None:
    artifact = Workspace(workspace).artifact("catalogue")
    items = pq.read_table(artifact.file("items.parquet"))
    assert items.column("text").to_pylist() == ["salt", "thyme", "oil", "leek", "trout", "lemon"]
    assert pq.read_table(artifact.file("sets.parquet")).num_rows == 12
