"""The stage train-folm without a language model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.config import PerTask
from r4t_ray.errors import DataError
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.evaluation.trial import methods_of
from r4t_ray.folm import train
from r4t_ray.folm.learner.status import read_outcome
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs import synthesize
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.types import TASKS

UNTRAINED = FolmConfig(train=False, base_model="no/such-model")


@pytest.fixture
def workspace(indexed_workspace: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(indexed_workspace.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def test_without_training_the_stage_holds_its_settings_alone(workspace: Workspace) -> None:
    made = train.run(UNTRAINED, workspace, 0)
    assert (made.manifest.rows, list(made.manifest.files)) == (0, ["settings.json"])
    assert json.loads(made.file("settings.json").read_text()) == UNTRAINED.model_dump(mode="json")
    changed = train.run(UNTRAINED.model_copy(update={"k": 7}), workspace, 0)
    assert changed.manifest.fingerprint != made.manifest.fingerprint  # so that pairs are made again
    assert read_outcome(workspace.root) == "no language model was trained (folm.train: false)\n"


def test_no_method_asks_a_model_that_is_not_trained(workspace: Workspace) -> None:
    train.run(UNTRAINED, workspace, 0)
    for task in TASKS:
        methods = methods_of(EvaluationConfig(), workspace, task)
        assert "no_fanout" in methods
        assert not {"zero_shot", "best_of_5", "r4t_folm", "r4t_folm_items"} & set(methods)


def test_pairs_that_would_be_sampled_are_refused(workspace: Workspace) -> None:
    train.run(UNTRAINED, workspace, 0)
    config = PairsConfig(reference_share=PerTask(oar=0, wscr=0))
    with pytest.raises(DataError, match="no language model to sample"):
        synthesize.run(config, workspace, 0)
