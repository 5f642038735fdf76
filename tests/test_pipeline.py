"""Running stages: the registry of stages, faults that Ray wraps, and the connection to Ray."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.config import Settings, parse_settings
from r4t_ray.errors import ConfigError, DataError, R4TError
from r4t_ray.machine.ray_sessions import connected_to_ray
from r4t_ray.pipeline import find_fault, load_experiment
from r4t_ray.stages import STAGES, Stage, find_stage

CONFIGS = sorted((Path(__file__).parents[1] / "jobs" / "configs").glob("*.yaml"))


TOY = {"name": "toy", "section": "catalogue", "parents": (), "module": "toy_room", "help": "", "on_ray": False}


def raise_data_error(batch: object = None) -> object:
    raise DataError("items.jsonl", "no rows", "at least one", "write some")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_has_a_package_with_a_run(stage: object) -> None:
    from r4t_ray.experiment import Experiment

    assert callable(importlib.import_module(stage.module).run)
    assert stage.section in Experiment.model_fields
    assert find_stage(stage.name) is stage


def test_parents_run_before_their_children() -> None:
    sections = [stage.section for stage in STAGES]
    for number, stage in enumerate(STAGES):
        assert set(stage.parents) <= set(sections[:number])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_page_on_resuming_has_a_row_for_every_stage(stage: Stage, repository: Path) -> None:
    assert f"| `{stage.name}` | `{stage.section}` |" in (repository / "docs" / "resuming.md").read_text()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_experiment_is_valid(path: Path) -> None:
    assert load_experiment(path).catalogue.type


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"pairs": {"num_rows": 9}}, r"pairs\.num_rows \(9\) is below folm\.k \(10\)"),
        ({"folm": {"k": 13}}, r"pairs\.num_rows \(12\) is below folm\.k \(13\)"),
        ({"catalogue": None}, "catalogue"),
    ],
)
def test_sections_that_disagree_are_refused(sections: dict[str, object], expected: str) -> None:
    from r4t_ray.experiment import Experiment

    data = {"catalogue": {"type": "sets", "items": "items.jsonl", "sets": "sets.jsonl"}} | sections
    with pytest.raises(ConfigError, match=expected):
        parse_settings(Experiment, data, "here")


@pytest.mark.parametrize(
    "section", [{"network": {"dim": 64}}, {"network": {"num_rows": 16}}, {"noise": {"sigma_data": 0.1}}]
)
def test_a_derived_value_is_no_setting(section: dict[str, object]) -> None:
    from r4t_ray.experiment import Experiment

    data = {"catalogue": {"type": "cookbook"}, "encoder": {"dim": 64}, "pairs": {"num_rows": 16}}
    parse_settings(Experiment, data, "here")
    with pytest.raises(ConfigError, match="no such setting"):
        parse_settings(Experiment, data | {"diffusion": section}, "here")


def test_empty_section_means_defaults() -> None:
    from r4t_ray.experiment import Experiment

    catalogue = {"type": "sets", "items": "items.jsonl", "sets": "sets.jsonl"}
    written_out = parse_settings(Experiment, {"catalogue": catalogue, "index": None}, "here")
    assert written_out == parse_settings(Experiment, {"catalogue": catalogue}, "here")


def test_unknown_stage() -> None:
    with pytest.raises(ConfigError, match=r"'bake'.*'ingest'"):
        find_stage("bake")


def test_fault_of_a_task_is_found(ray_session: str) -> None:
    import ray

    with pytest.raises(R4TError) as caught:
        ray.get(ray.remote(num_cpus=0.1)(raise_data_error).remote())
    check_fault(caught.value)


def test_fault_in_ray_data_is_found(ray_session: str) -> None:
    import ray

    with pytest.raises(Exception, match="no rows") as caught, connected_to_ray():
        ray.data.range(4).map_batches(raise_data_error).materialize()
    check_fault(caught.value)


@pytest.mark.slow
def test_fault_of_a_training_worker_is_found(ray_session: str, tmp_path: Path) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    scaling = ScalingConfig(num_workers=1, resources_per_worker={"CPU": 0.5})
    trainer = TorchTrainer(
        lambda config: raise_data_error(), scaling_config=scaling, run_config=RunConfig(storage_path=str(tmp_path))
    )
    with pytest.raises(Exception, match="no rows") as caught:
        trainer.fit()
    check_fault(caught.value)


def check_fault(error: BaseException) -> None:
    fault = find_fault(error)
    assert isinstance(fault, DataError)
    # Ray adds a note to the first argument. The fields stay as they were.
    assert (fault.where, fault.got, fault.expected) == ("items.jsonl", "no rows", "at least one")
    assert fault.fix == "write some"


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("y")])
def test_other_errors_are_not_faults(error: Exception) -> None:
    assert find_fault(error) is None


def test_an_existing_connection_is_left_open(ray_session: str) -> None:
    import ray

    with connected_to_ray():
        assert ray.is_initialized()
    assert ray.is_initialized()


def test_current_stage_keeps_its_first_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    import sys
    import types

    from r4t_ray.pipeline import run_stage

    room = types.ModuleType("toy_room")

    def run(config: Settings, workspace: Workspace, seed: int) -> Artifact:
        return workspace.build("catalogue", config, seed, (), lambda folder: (folder / "a").write_text("a"))

    room.run = run
    monkeypatch.setitem(sys.modules, "toy_room", room)
    stage, workspace = Stage(**TOY), Workspace(tmp_path)
    experiment = types.SimpleNamespace(seed=0, catalogue=Settings())
    run_stage(stage, experiment, workspace)
    (tmp_path / "timings.json").write_text(json.dumps({"catalogue": 12.5, "encoder": 3.0}))
    run_stage(stage, experiment, workspace)
    assert json.loads((tmp_path / "timings.json").read_text()) == {"catalogue": 12.5, "encoder": 3.0}
    experiment.seed = 1
    run_stage(stage, experiment, workspace)
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert timings["encoder"] == 3.0
    assert timings["catalogue"] < 5
