"""The whole run on the cookbook with `r4t pipeline`, with the engine of this machine."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ray import serve
from safetensors.numpy import load_file

from r4t_ray import Retriever, cli
from r4t_ray.client import Client
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.serve.app import build_app
from r4t_ray.serve.args import AppArgs, Scaling
from r4t_ray.stages import STAGES
from tests.processes import last_of

from .conftest import SMOKE, SmokeRun

BY_SETS = {"popular", "popular_items", "nearest_sets", "nearest_sets_items", "soft_sets", "soft_sets_items"}
WSCR_ONLY = BY_SETS | {"ridge_items", "ease_items", "best_of_5_oracle"}
OAR_ONLY = {"r4t_student"}  # this configuration makes a student only for OAR
TIMED = {"zero_shot", "best_of_5", "r4t_folm", "r4t_diffusion", "r4t_student"}

pytestmark = pytest.mark.timeout(900)  # the first of the selected tests may wait for the whole run


def r4t(repository: Path, arguments: Sequence[str], timeout: int) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "r4t_ray.cli", *arguments]
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.fixture(scope="module")
def workspace(smoke_run: SmokeRun) -> Path:
    """The workspace of the run, which has ended."""
    assert smoke_run.process.wait(timeout=800) == 0, last_of(smoke_run.log)
    return smoke_run.workspace


def test_every_stage_left_a_whole_artifact(workspace: Path) -> None:
    for stage in [stage.section for stage in STAGES]:
        assert json.loads((workspace / stage / "manifest.json").read_text())["rows"] > 0, stage
    assert not list(workspace.glob("*.partial"))


def test_the_retrievers_are_served_in_onnx(workspace: Path) -> None:
    files = json.loads((workspace / "diffusion" / "manifest.json").read_text())["files"]
    exported = {name for name in files if name.endswith(".onnx")}
    assert exported == {"wscr/top_anchors.onnx"}  # oar has another solver


def test_every_method_has_every_measure_on_each_of_its_tasks(workspace: Path) -> None:
    rows = json.loads((workspace / "evaluation" / "metrics.json").read_text())
    got = {(row["task"], row["method"], row["measure"]) for row in rows}
    for task in ("oar", "wscr"):
        for method in METHODS:
            if method in (WSCR_ONLY if task == "oar" else OAR_ONLY):
                continue
            measures = {"vendi", "groundedness", "alignment", "oar_reward"}
            measures |= {"recall@100", "hit@100"} if task == "wscr" else set()
            measures |= {"latency_ms_b1"} if method in TIMED else set()
            assert {(task, method, measure) for measure in measures} <= got
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_the_engine_sampled_from_the_weights_that_the_learner_pushed(workspace: Path) -> None:
    rows = pq.read_table(workspace / "folm" / "metrics.parquet").to_pylist()
    steps = sorted({row["step"] for row in rows})
    weights = {step: {row["weights"] for row in rows if row["step"] == step} for step in steps}
    assert steps == [0, 1, 2]
    assert all(len(names) == 1 for names in weights.values())
    assert len(set.union(*weights.values())) == 3


def test_rl_moved_each_parameter_by_about_its_rate_per_step_and_no_frozen_one(workspace: Path) -> None:
    """Each of Adam's first steps is about as long as the rate. There are 6 steps: 3 batches with 2 passes each."""
    before, after = (
        load_file(workspace / "folm/wscr" / name / "model.safetensors") for name in ("warm_start", "model")
    )
    moved = {name: float(np.abs(after[name] - before[name]).max()) for name in before}
    for name, distance in moved.items():
        rate = {"model.norm.weight": 0.001}.get(name, 0.0005 if "layernorm" in name else 0.0)
        assert rate <= distance <= 10 * rate, name


def test_pairs_are_unit_rows_that_can_be_read_without_ray(workspace: Path) -> None:
    for task in ("oar", "wscr"):
        table = pq.read_table(sorted((workspace / "pairs" / task).glob("*.parquet"))[0])
        flat = table["Z"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype("float32")
        norms = (flat.reshape(table.num_rows, 12, 128) ** 2).sum(-1) ** 0.5
        assert abs(norms - 1).max() < 2e-3
        assert "test" not in set(table["split"].to_pylist())


def test_pairs_of_recombined_queries_are_for_training_and_have_no_coverage(workspace: Path) -> None:
    for task in ("oar", "wscr"):
        rows = pq.read_table(workspace / "pairs" / task, columns=["query_id", "split", "reward"]).to_pylist()
        made = [row for row in rows if ":recombined:" in row["query_id"]]
        assert 8 < len(made) <= 16
        assert {row["split"] for row in made} == {"train"}
        assert {row["reward"] is None for row in made} == {task == "wscr"}
        assert all(row["reward"] is not None for row in rows if row not in made)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_second_run_skips_every_stage_and_a_tampered_one_is_made_again(repository: Path, workspace: Path) -> None:
    files = {path: path.read_bytes() for path in workspace.rglob("manifest.json")}
    index = next((workspace / "index").rglob("*.faiss"))
    intact = index.read_bytes()
    index.write_bytes(intact[:-1])
    done = r4t(repository, ["pipeline", SMOKE, "--workspace", str(workspace)], timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("unchanged, skipped") == len(STAGES) - 1
    assert index.read_bytes() == intact
    assert {path: path.read_bytes() for path in workspace.rglob("manifest.json")} == files


@pytest.mark.timeout(180)
def test_the_pipeline_ends_with_a_command_that_answers_a_query(
    workspace: Path, smoke_run: SmokeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report, ask = smoke_run.log.read_text(encoding="utf-8").splitlines()[-2:]
    assert report == f"report: {workspace}/evaluation/report.md"
    assert (workspace / "evaluation" / "report.md").is_file()
    monkeypatch.setattr("sys.argv", shlex.split(ask.removeprefix("ask:").replace("YOUR QUERY", "a summer dinner")))
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    assert len(capsys.readouterr().out.splitlines()) > 10


@pytest.mark.slow
def test_a_server_answers_by_the_language_model_of_the_run(workspace: Path, ray_session: str) -> None:
    """With vLLM on a machine that has it, in a deployment of its own."""
    args = AppArgs(workspace=str(workspace), language_model=Scaling(cpus=0.5), gateway=Scaling(cpus=0.5))
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(build_app(args), name="r4t")
        client = Client(f"http://127.0.0.1:{port}")
        first, again = (client.retrieve("easy soup", method="folm", k=5, n=2, seed=seed) for seed in (1, 1))
        assert [direction.label for direction in first.directions] == [
            direction.label for direction in again.directions
        ]
        assert 1 <= len(first.directions) <= 5
        assert first.timings_ms["generate"] > 0
        assert "LanguageModel" in serve.status().applications["r4t"].deployments
    finally:
        serve.shutdown()


def test_what_a_request_avoids_is_no_direction_either(workspace: Path) -> None:
    retriever = Retriever(workspace, RetrievalSettings(solver="top_anchors"))
    first = retriever.retrieve("easy soup", k=6, n=1)
    left_out = [direction.items[0].id for direction in first.directions[:3]]
    answer = retriever.retrieve("easy soup", k=6, n=1, avoid=left_out, strength=0)
    assert not {item.id for item in answer.items} & set(left_out)
    # A direction that is an entry has a groundedness of 1, up to rounding.
    assert min(direction.groundedness or 0 for direction in answer.directions) > 0.99
