"""The tables of an evaluated run, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import Result
from benchmarks.report import validation_rows
from benchmarks.tables.report import catalogues_table, seeds_table, small_table, validation_table, whole_table
from r4t_ray.files import write_json
from r4t_ray.folm.validation import VALIDATION


def row(task: str, method: str, measure: str, value: float, spread: float = 0.0) -> dict[str, object]:
    figures = {"value": value, "low": value - spread, "high": value + spread, "n": 3}
    return {"task": task, "method": method, "measure": measure, **figures}


ROWS = [
    row("oar", "mmr", "vendi", 0.25, 0.125),
    row("oar", "r4t_folm", "vendi", 0.5),
    row("oar", "r4t_folm", "latency_ms_b8", 671.5, 20),
    row("wscr", "mmr", "vendi", 0.75),
    row("oar", "alone", "swap", 1.0),
]
OTHER_SEED = [
    {**each, "value": float(str(each["value"])) + change}
    for each, change in zip(ROWS, (0.25, 0, -4, 0, 0), strict=True)
]
VALIDATED = [row("oar", "step 5", "validation_reward", 0.5)]


def test_a_table_holds_the_measures_of_its_task_and_a_dash_where_there_is_none() -> None:
    runs = [Result(benchmark="report", rows=ROWS), Result(benchmark="report", rows=[*OTHER_SEED, *VALIDATED])]
    lines = [{line[0]: line for line in table(runs, "oar").rows} for table in (small_table, seeds_table)]
    assert [[line[name][3] for name in ("mmr", "dpp")] for line in lines] == [
        ["0.375", "-"],
        ["0.375 [0.250, 0.500]", "-"],
    ]
    assert [line["r4t_folm"][-1] for line in lines] == ["672", "672"]


def test_the_whole_table_has_intervals_unless_they_have_no_width() -> None:
    table = whole_table(Result(benchmark="report", rows=ROWS), "oar")
    vendi, latency = table.columns.index("vendi"), table.columns.index("fan-out ms")
    assert [(line[0], line[vendi], line[latency]) for line in table.rows] == [
        ("mmr", "0.250 [0.125, 0.375]", "-"),
        ("r4t_folm", "0.500", "672 [652, 692]"),
    ]


def test_validated_steps_are_in_the_order_of_training_and_the_gain_is_last(tmp_path: Path) -> None:
    write_json(tmp_path / VALIDATION, {"0": [0.25, 0.5, float("nan")], "5": [0.5, 0.5, 0.5], "10": [0.75, 1.0, 0.5]})
    table = validation_table(Result(benchmark="report", rows=validation_rows(tmp_path, "oar")))
    assert table.columns == ["task", "step 0", "step 5", "step 10", "gain"]
    assert table.rows == [["oar", "0.375", "0.500", "0.750", "0.500"]]


@pytest.mark.parametrize("rewards", [{}, {"0": [0.25]}])
def test_there_is_no_gain_before_two_steps_are_validated(tmp_path: Path, rewards: dict[str, list[float]]) -> None:
    write_json(tmp_path / VALIDATION, rewards)
    assert [each["method"] for each in validation_rows(tmp_path, "oar")] == [f"step {step}" for step in rewards]


def test_a_catalogue_has_its_queries_by_split() -> None:
    facts = {"items": 4606, "sets": 3129, "oar train": 678, "oar val": 81, "oar test": 76}
    facts |= {"wscr train": 1930, "wscr val": 264, "wscr test": 247, "recurrence": 0.759}
    table = catalogues_table([("cookbook", Result(benchmark="report", facts=facts))])
    assert table.rows == [["cookbook", "3,129", "4,606", "678 / 81 / 76", "1,930 / 264 / 247", "76%"]]
