"""The tables in README.md and docs/ equal the results in benchmarks/results."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import Result
from benchmarks.tables.autoscale import autoscale_tables
from benchmarks.tables.pages import RESULTS, TABLES, pages, with_tables
from benchmarks.tables.speed import fanout_tables


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_tables_of_a_page_equal_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run `python -m benchmarks.tables`"


def test_every_table_is_in_a_page_once() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    assert {name: text.count(f"<!-- table: {name} -->") for name in TABLES} == dict.fromkeys(TABLES, 1)
    assert text.count("<!-- table: ") == text.count("<!-- end of table -->") == len(TABLES)


def test_text_between_the_markers_is_replaced() -> None:
    page = "a\n<!-- table: learner -->\nold\n<!-- end of table -->\nb"
    made = with_tables(page)
    assert "old" not in made
    assert made.startswith("a\n<!-- table: learner -->\n\n| model |")
    assert made.endswith("|\n\n<!-- end of table -->\nb")
    assert with_tables(made) == made


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_have_one_form(path: Path) -> None:
    result = Result.read(path)
    assert path.stem.startswith(result.benchmark)
    assert result.rows


def test_a_cell_of_the_fan_out_is_the_fastest_mode() -> None:
    def row(what: str, mode: str, median_ms: float | None, ratio: float | None) -> dict[str, object]:
        evaluations = None if what == "language model" else 4
        figures = {"median_ms": median_ms, "ratio": ratio, "evaluations": evaluations}
        return {"what": what, "scope": "fan-out", "mode": mode, "batch": 8, **figures}

    rows = [
        row("language model", "vllm", 1000.0, 1.0),
        row("diffusion heun", "eager", 20.0, 50.0),
        row("diffusion heun", "compile", 8.0, 125.0),
        row("student configured one_step", "eager", None, None),
    ]
    (table,) = fanout_tables(Result(benchmark="fanout", rows=rows))
    assert [line[1] for line in table.rows] == ["1,000", "8.0 (125), compiled", "not measured"]


def test_the_replicas_of_a_phase_are_told_with_their_seconds() -> None:
    phases = [{"clients": 1, "seconds": 3.0}, {"clients": 8, "seconds": 3.0}]
    figures = {"requests_per_s": 2.0, "p50": 4.0, "p99": 9.0, "statuses": {"200": 6, "503": 1}}
    counts = [(1, 1), (1, 1), (1, 1), (1, 2), (1, 2), (3, 2)]
    rows = [{"second": at + 0.5, "Gateway": one, "Generator": two} for at, (one, two) in enumerate(counts)]
    result = Result(benchmark="autoscale", rows=rows, facts={"phases": [phase | figures for phase in phases]})
    (table,) = autoscale_tables(result)
    assert table.rows[0] == ["1", "3", "1", "1", "2.0", "4", "9", "1 x 503"]
    assert table.rows[1][2:4] == ["1, 3 at 2 s", "2"]
