"""Arguments from settings, and results in files without paths of this machine."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, Table, new_result

NAMES = (
    "autoscale",
    "embed",
    "fanout",
    "faults",
    "filters",
    "first_stages",
    "frontier",
    "learner",
    "quality",
    "report",
    "retrieve",
    "runtimes",
    "search",
    "select",
    "serve",
    "set_rules",
    "students",
    "synthesize",
    "train_diffusion",
    "train_folm",
    "wide",
)


class ToySettings(BenchmarkSettings):
    """One field of each kind."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder.")
    local: Annotated[str | None, POSITIONAL] = Field(None, description="A place or a name.")
    task: Literal["oar", "wscr"] = Field("oar", description="Task.")
    batches: tuple[PositiveInt, ...] = Field((1, 8), description="Batch sizes, 100% of them.")
    lora_rank: PositiveInt | None = Field(None, description="Rank.")
    is_tiny: bool = Field(False, description="Toy shapes.")


def toy(settings: ToySettings) -> Result:
    result = new_result("toy", settings)
    result.rows = [{"batch": batch, "ms": batch * 1.5} for batch in settings.batches]
    return result


TOY = Benchmark(
    name="toy",
    settings=ToySettings,
    measure=toy,
    tables=lambda result: [Table(columns=("batch", "ms"), rows=[(str(r["batch"]), str(r["ms"])) for r in result.rows])],
    about="A toy.",
)


def test_every_field_is_an_argument() -> None:
    asked = TOY.parse(["here", "--task", "wscr", "--batches", "2", "4", "--lora-rank", "3", "--is-tiny"])
    assert asked == ToySettings(workspace=Path("here"), task="wscr", batches=(2, 4), lora_rank=3, is_tiny=True)
    assert TOY.parse(["here"]) == ToySettings(workspace=Path("here"))
    assert TOY.parse(["here", "there", "--batches"]) == ToySettings(workspace=Path("here"), local="there", batches=())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "workspace"), (["w", "--task", "x"], "invalid choice"), (["w", "--batches", "0"], "batches.0: Input should")],
)
def test_a_wrong_argument_is_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        TOY.parse(arguments)
    assert said in capsys.readouterr().err


def test_the_help_has_descriptions_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        TOY.parse(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Batch sizes, 100% of them. Default: 1 8." in said
    assert "--batches [INT ...]" in said
    assert "--lora-rank INT Rank." in said


def test_a_run_prints_its_table_and_writes_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "toy.json"
    TOY.main([str(tmp_path), str(tmp_path), "--out", str(out)])
    assert "batch    ms\n1       1.5\n8      12.0" in capsys.readouterr().out
    result = Result.read(out)
    assert result.rows == [{"batch": 1, "ms": 1.5}, {"batch": 8, "ms": 12.0}]
    assert result.settings == {"task": "oar", "batches": [1, 8], "lora_rank": None, "is_tiny": False}
    assert result.machine["cores"] >= 1
    assert {"ray", "torch"} <= result.versions.keys()
    assert str(tmp_path) not in out.read_text()
    assert json.loads(out.read_text())["benchmark"] == "toy"


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_a_benchmark_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = importlib.import_module(f"benchmarks.{name}").BENCHMARK
    assert benchmark.name == name
    assert all(info.description for info in benchmark.settings.model_fields.values())
    with pytest.raises(SystemExit):
        benchmark.parse(["--help"])
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out
