"""`r4t config` and the generated page of settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from r4t_ray.cli import app
from r4t_ray.config import load_settings, parse_settings
from r4t_ray.config.reference import setting_rows
from r4t_ray.experiment import Experiment
from r4t_ray.explain import GPU_SETTINGS, resolved_config, settings_page

CONFIGS = sorted((Path(__file__).parents[1] / "jobs" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_printed_tree_reads_back_as_the_same_settings(path: Path) -> None:
    printed = yaml.safe_load(resolved_config(path))
    assert parse_settings(Experiment, printed, "printed") == load_settings(Experiment, path)


def test_command_marks_what_differs_from_the_default(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("catalogue: {type: cookbook}\nindex: {num_shards: 7}\n", encoding="utf-8")
    lines = CliRunner().invoke(app, ["config", str(path)]).stdout.splitlines()
    assert [line for line in lines if "# default: " in line and "VALUE" not in line] == [
        "  num_shards: 7  # default: 2"
    ]
    assert "  # Threads that build the index. With more than one thread, the HNSW graph differs between runs." in lines


def test_page_names_every_setting_of_every_section() -> None:
    page = settings_page()
    for row in setting_rows(Experiment):
        assert row.key in Experiment.model_fields or f"| `{row.key}` |" in page


def test_settings_that_matter_on_a_gpu_exist() -> None:
    known = {row.key for row in setting_rows(Experiment)}
    assert {setting for setting, _, _ in GPU_SETTINGS} <= known


def test_page_is_current() -> None:
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_page(), "run `make docs`"
