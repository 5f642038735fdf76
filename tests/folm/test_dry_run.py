"""The dry run: parameter counts against the shipped model, and memory by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from r4t_ray.cli import app
from r4t_ray.encoders import resolve_model
from r4t_ray.folm.dry_run import plan
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.settings import FolmConfig


def count_shipped() -> int:
    weights = load_file(Path(resolve_model("package:r4t_ray/folm/base_model")) / "model.safetensors")
    return sum(weight.size for weight in weights.values())


def test_the_plan_counts_the_parameters_of_the_shipped_model() -> None:
    grpo = SoftGRPOConfig(queries_per_step=5, num_generations=8, micro_batch_size=40, learning_rate=1e-3)
    planned = plan(FolmConfig(grpo={"oar": grpo}, max_completion_tokens=100), "oar")
    assert planned.num_parameters == planned.num_trained == count_shipped()
    assert planned.learner_memory["weights, float32"] == 4 * count_shipped()
    assert planned.learner_memory["Adam"] == 8 * count_shipped()
    assert planned.samples_per_step == 40
    assert planned.max_tokens_per_step == 40 * (planned.prompt_tokens + 100)


def test_only_parameters_with_a_rate_have_gradients() -> None:
    grpo = SoftGRPOConfig(micro_batch_size=8, learning_rate={r"^model\.norm": 0.1})
    planned = plan(FolmConfig(grpo={"wscr": grpo}), "wscr")
    assert 0 < planned.num_trained < 1000
    assert planned.learner_memory["gradients"] == 4 * planned.num_trained


def test_the_command_writes_nothing_and_needs_no_workspace(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(repository / "jobs/configs/cookbook.yaml")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["train-folm", config, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "M parameters" in done.output
    assert not list(tmp_path.iterdir())
    assert CliRunner().invoke(app, ["train-folm", config]).exit_code == 2
