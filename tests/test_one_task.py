"""A workspace of one task alone, from ingest to the pushed retriever. Its catalogue has no query of the other task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from r4t_ray import pipeline
from r4t_ray.artifacts import Workspace
from r4t_ray.config import parse_settings
from r4t_ray.drift.measure import measure_drift
from r4t_ray.drift.settings import DriftConfig
from r4t_ray.errors import ConfigError, RequestError
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.evaluation.push import push
from r4t_ray.experiment import Experiment
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.new_entries import add
from r4t_ray.retrieval.live import Versions
from r4t_ray.retrieval.live.versions import open_version
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.serve.app import AppArgs, build_app
from r4t_ray.serve.backend import ServeBackend
from r4t_ray.stages import STAGES
from r4t_ray.types import TASKS, Task

from .conftest import DIM, NUM_ROWS, SEED, write_catalogue

pytestmark = pytest.mark.timeout(600)  # the first test of each task waits for the whole pipeline

MEASURED = {"k": 4, "n": 2, "num_bootstrap": 10, "latency_batches": [1], "latency_repeats": 1}
METHODS = ("no_fanout", "popular", "r4t_diffusion", "r4t_diffusion_items")
SMALL: dict[str, Any] = {
    "seed": SEED,
    "encoder": {"dim": DIM, "runtime": "torch"},
    "index": {"type": "flat"},
    "pairs": {
        "num_samples": 1,
        "num_recombined": {"oar": 8, "wscr": 8},
        "num_rows": NUM_ROWS,
        "reference_share": {"oar": 1, "wscr": 1},
    },
    "diffusion": {
        "network": {"hidden_size": 16, "mlp_size": 32, "num_heads": 2, "num_layers": 1, "num_anchors": 16},
        "optimizer": {"num_steps": 3, "warmup_steps": 1, "batch_size": 8},
    },
    "decoder": {"max_steps": 2},
    "evaluation": MEASURED | {"methods": METHODS},
}
FOLM: dict[str, Any] = {
    "k": 4,
    "engine": {"type": "transformers"},
    "warm_start": {"num_passes": {"oar": 0, "wscr": 0}, "num_recombined": {"oar": 0, "wscr": 0}},
    "grpo": {task: {"num_steps": 0, "num_recombined": 0} for task in TASKS},
}
Made = tuple[Task, Task, Workspace]


def catalogue_of(task: Task, folder: Path) -> dict[str, object]:
    """48 dishes whose log has queries of one task only; gives the catalogue's settings."""
    catalogue = write_catalogue(folder)
    rows = [json.loads(line) for line in (folder / "sets.jsonl").read_text().splitlines()]
    lines = [{"text": f"some {row['title']}", "set_ids": [row["set_id"]], "task": task} for row in rows]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return catalogue | {"queries": str(folder / "log.jsonl"), "made_queries": "none"}


@pytest.fixture(scope="module", params=TASKS)
def made(request: pytest.FixtureRequest, ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A task, the other task, and the workspace that every stage made for the first task alone."""
    task: Task = request.param
    root = tmp_path_factory.mktemp(task)
    folm = FOLM | {"tasks": [task], "train": task == "oar"}
    settings = SMALL | {"catalogue": catalogue_of(task, root / "catalogue"), "folm": folm}
    workspace = Workspace(root / "workspace")
    pipeline.run_pipeline(parse_settings(Experiment, settings, "here"), workspace)
    return task, next(name for name in TASKS if name != task), workspace


@pytest.mark.slow
def test_every_stage_is_whole_and_measures_the_task_alone(made: Made) -> None:
    task, other, workspace = made
    for stage in STAGES:
        workspace.artifact(stage.section)
    assert set(pq.read_table(workspace.root / "catalogue/queries.parquet")["task"].to_pylist()) == {task}
    assert (workspace.root / "folm" / task).is_dir() == (task == "oar")  # no language model is trained for wscr
    for stage in ("folm", "pairs", "diffusion"):
        assert stage == "folm" or (workspace.root / stage / task).is_dir()
        assert not (workspace.root / stage / other).exists()
    rows = json.loads((workspace.root / "evaluation/metrics.json").read_text())
    expected = {name for name in METHODS if task == "wscr" or name != "popular"}
    assert {(row["task"], row["method"]) for row in rows} == {(task, name) for name in expected}


@pytest.mark.slow
def test_drift_compares_the_task_alone_and_refuses_the_other(made: Made) -> None:
    task, other, workspace = made
    config = EvaluationConfig.model_validate(MEASURED)
    assert [drift.task for drift in measure_drift(DriftConfig(), config, workspace)] == [task]
    with pytest.raises(ConfigError, match=f"got {other}; expected one of {task} "):
        measure_drift(DriftConfig(), config, workspace, task=other)


@pytest.mark.slow
def test_a_request_without_a_task_gets_the_one_that_is_served(made: Made) -> None:
    task, other, workspace = made
    asked = parse_request(query="a warm soup", k=3, n=2)
    answer = Retriever(workspace.root).answer(asked)
    assert answer.task == task
    assert len(answer.directions) == 3
    with pytest.raises(RequestError, match=f"'{other}'; expected one of {task};"):
        Retriever(workspace.root).answer(parse_request(query="a warm soup", task=other))
    unserved = RetrievalSettings(default_task=other)
    with pytest.raises(ConfigError, match=f"serve.default_task: got {other}; expected one of {task}, which"):
        Retriever(workspace.root, unserved)


@pytest.mark.slow
def test_the_server_takes_the_task_alone_too(made: Made) -> None:
    task, other, workspace = made
    args = AppArgs(workspace=str(workspace.root))
    build_app(args)
    with pytest.raises(ConfigError, match=f"serve.default_task: got {other}"):
        build_app(args.model_copy(update={"default_task": other}))
    versions = Versions(workspace, lambda one: open_version(one, args, ()))
    served = ServeBackend(args, versions=versions, generator=None, deployed={})  # type: ignore[arg-type]
    assert served.default_task(versions.current.live.served) == task


@pytest.mark.slow
def test_push_and_add_work_with_the_task_alone(made: Made, tmp_path: Path) -> None:
    task, other, workspace = made
    assert f"task {task}" in push(workspace.root, "someone/dinner", task, out=tmp_path / "pushed")
    with pytest.raises(ConfigError, match=f"--task: got {other}; expected one of {task}, which have a retriever"):
        push(workspace.root, "someone/dinner", other, out=tmp_path / "other")
    (tmp_path / "items.jsonl").write_text('{"item_id": "i-new", "text": "quince jelly"}')
    rows = {"set_id": "s-new", "title": "quince jelly", "item_ids": ["i-new"]}
    (tmp_path / "sets.jsonl").write_text(json.dumps(rows))
    add(workspace, items=tmp_path / "items.jsonl", sets=tmp_path / "sets.jsonl")
    answer = Retriever(workspace.root).answer(parse_request(query="quince jelly", n=60, k=NUM_ROWS))
    assert {"oar": "s-new", "wscr": "i-new"}[task] in {item.id for item in answer.items}


def test_tasks_are_named_once_and_the_default_task_is_one_of_them() -> None:
    with pytest.raises(ValidationError, match="tasks"):
        FolmConfig(tasks=())
    assert FolmConfig(tasks=("wscr", "wscr")).tasks == ("wscr",)
    settings = {"catalogue": {"type": "cookbook"}, "folm": {"tasks": ["oar"]}, "serve": {"default_task": "wscr"}}
    with pytest.raises(ConfigError, match=r"serve.default_task \(wscr\) is not in folm.tasks \(oar\)"):
        parse_settings(Experiment, settings, "here")
