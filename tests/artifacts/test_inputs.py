"""Inputs of a stage: settings that change no result do not count; what is replaced or set aside is named before."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest
from pydantic import Field

from r4t_ray.artifacts import MANIFEST, Workspace, read_manifest
from r4t_ray.artifacts.inputs import StageInputs
from r4t_ray.config import Operational, Settings
from r4t_ray.folm import FolmConfig


class Recipe(Settings):
    minutes: int = 40
    timeout_s: Operational[float] = Field(30.0)
    old: str | None = None


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def cook(folder: Path) -> int:
    (folder / "steps.txt").write_text((folder / "steps.txt").read_text() + "done" if begun(folder) else "done")
    return 1


def begun(folder: Path) -> bool:
    return (folder / "steps.txt").exists()


def cut_off(folder: Path) -> int:
    (folder / "steps.txt").write_text("half ")
    raise InterruptedError


def leave_unfinished(workspace: Workspace, recipe: Recipe, seed: int = 0) -> None:
    with pytest.raises(InterruptedError):
        workspace.build("folm", recipe, seed, (), cut_off, resumes=True)


def finish(workspace: Workspace, recipe: Recipe, seed: int = 0) -> str:
    artifact = workspace.build("folm", recipe, seed, (), cook, resumes=True)
    return (artifact.path / "steps.txt").read_text()


def key_of_older_versions(recipe: Recipe, seed: int = 0) -> str:
    """sha256 of the JSON of all settings, the seed and the parents, with sorted keys and no spaces."""
    text = '{"config":' + json.dumps(recipe.model_dump(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((text + f',"parents":{{}},"schema":1,"seed":{seed}}}').encode()).hexdigest()


def test_a_finished_stage_stays_and_records_a_setting_that_changes_no_result(workspace: Workspace) -> None:
    first = workspace.build("folm", Recipe(), 0, (), cook)
    again = workspace.build("folm", Recipe(timeout_s=90), 0, (), cut_off)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.manifest.files == first.manifest.files
    assert again.manifest.key == first.manifest.key
    # Later stages read their settings from the manifest, so they get the present ones.
    assert read_manifest(again.path).config == {"minutes": 40, "timeout_s": 90.0, "old": None}


def test_an_unfinished_stage_continues_after_such_a_change(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    leave_unfinished(workspace, Recipe())
    assert finish(workspace, Recipe(timeout_s=90)) == "half done"
    assert caplog.messages == []
    assert read_manifest(workspace.root / "folm").config["timeout_s"] == 90


@pytest.mark.parametrize(
    ("recipe", "seed", "named"),
    [(Recipe(minutes=50), 0, "minutes is 50, was 40"), (Recipe(), 1, "the seed is 1, was 0")],
    ids=["setting", "seed"],
)
def test_what_a_change_would_throw_away_is_named_before_the_work(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, recipe: Recipe, seed: int, named: str
) -> None:
    def look(folder: Path) -> int:
        heard.extend(caplog.messages)
        return 1

    heard: list[str] = []
    workspace.build("folm", Recipe(), 0, (), cook)
    workspace.build("folm", recipe, seed, (), look)
    (message,) = heard
    assert message == f"folm is made again: {named}. {workspace.root / 'folm'} stays until the new one is whole"


def test_unfinished_work_of_other_inputs_is_named_and_set_aside_and_comes_back(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    leave_unfinished(workspace, Recipe())
    leave_unfinished(workspace, Recipe(minutes=50))
    (message,) = caplog.messages
    assert "minutes is 50, was 40" in message
    assert str(workspace.root / "folm.set_aside") in message
    assert (workspace.root / "folm.set_aside" / "steps.txt").read_text() == "half "
    caplog.clear()
    assert finish(workspace, Recipe()) == "half done"
    assert "continued with the work that was set aside" in caplog.messages[-1]
    assert [path.name for path in workspace.root.iterdir()] == ["folm"]


def test_a_change_of_a_parent_is_named(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    workspace.build("catalogue", Recipe(), 0, (), cook)
    workspace.build("encoder", Recipe(), 0, ("catalogue",), cook)
    workspace.build("catalogue", Recipe(), 1, (), lambda folder: (folder / "other").write_text("x"))
    caplog.clear()
    workspace.build("encoder", Recipe(), 0, ("catalogue",), cook)
    assert "encoder is made again: 'catalogue' has other contents" in caplog.text


def test_a_lost_file_is_named(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    (workspace.build("folm", Recipe(), 0, (), cook).path / "steps.txt").unlink()
    workspace.build("folm", Recipe(), 0, (), cook)
    assert "folm is made again: a file was changed or lost" in caplog.text


def test_a_finished_stage_of_an_older_version_is_current(workspace: Workspace) -> None:
    path = workspace.build("folm", Recipe(), 0, (), cook).path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": key_of_older_versions(Recipe())}))
    assert not workspace.build("folm", Recipe(timeout_s=90), 0, (), cut_off).is_new


def test_a_setting_that_an_older_version_lacked_is_named(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    path = workspace.build("folm", Recipe(), 0, (), cook).path / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["config"]["old"]
    path.write_text(json.dumps(manifest | {"config": manifest["config"] | {"gone": 3}}))
    workspace.build("folm", Recipe(), 0, (), cook)
    assert "old is null, was absent; gone is absent, was 3" in caplog.text


@pytest.mark.parametrize("same", [True, False])
def test_unfinished_work_of_an_older_version(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, same: bool
) -> None:
    partial = workspace.root / "folm.partial"
    partial.mkdir(parents=True)
    (partial / "steps.txt").write_text("half ")
    (partial / "key").write_text(key_of_older_versions(Recipe()))
    with caplog.at_level(logging.WARNING):
        text = finish(workspace, Recipe() if same else Recipe(minutes=50))
    assert text == ("half done" if same else "done")
    assert ("kept only a hash" in caplog.text) == (not same)
    assert sorted(path.name for path in (workspace.root / "folm").iterdir()) == [MANIFEST, "steps.txt"]


@pytest.mark.parametrize(
    "change",
    [
        {"rollout_timeout_s": 3600},
        {"rollout": {"num": 4}},
        {"max_failures": 9},
        {"grpo": {"oar": {"max_logp_gap": 0.5}, "wscr": {"max_logp_gap": 0.5}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_resumable_training_is_kept_by_what_its_own_errors_advise(change: dict[str, object]) -> None:
    begun_with = StageInputs.of(FolmConfig(), 0, {})
    assert StageInputs.of(FolmConfig.model_validate(change), 0, {}).changes_from(begun_with.recorded()) == []


def test_the_number_of_learners_counts() -> None:
    two = StageInputs.of(FolmConfig.model_validate({"learner": {"num": 5}}), 0, {})
    assert two.changes_from(StageInputs.of(FolmConfig(), 0, {}).recorded()) == ["learner.num is 5, was 1"]
