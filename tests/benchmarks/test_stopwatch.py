"""The end of timing, the predicted time of a larger cell, and the row of a cell that is not timed."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from benchmarks.harness import Result
from benchmarks.stopwatch import BASELINE, Board, Call, Cell, Timing, is_enough, predicted_s, ratios


def cell(what: str, batch: int, evaluations: int | None = None, scope: str = "fan-out") -> Cell:
    return Cell(
        what=what,
        scope=scope,
        device="cpu",
        dtype="float32",
        mode="eager",
        batch=batch,
        asked=evaluations,
        steps=evaluations,
        evaluations=evaluations,
    )


def board_of(folder: Path, deadline: float) -> Board:
    return Board(
        synchronize=lambda: None,
        result=Result(benchmark="fanout"),
        out=folder / "rows.json",
        deadline=deadline,
        call_limit_s=60.0,
    )


def test_one_second_is_enough_and_slow_calls_need_fewer_repeats() -> None:
    assert not is_enough([])
    assert not is_enough([600.0, 600.0])
    assert is_enough([600.0, 600.0, 600.0])
    assert not is_enough([1.0] * 199)
    assert is_enough([1.0] * 200)
    assert not is_enough([6_000.0])
    assert is_enough([6_000.0, 6_000.0])
    assert is_enough([31_000.0])


def test_prediction_is_the_lowest_from_smaller_cells() -> None:
    rows = [
        Timing(cell=cell("sde", 1, 16), median_ms=100.0),
        Timing(cell=cell("sde", 8, 4), median_ms=150.0),
        Timing(cell=cell("sde", 8, 256), median_ms=1.0),
        Timing(cell=cell("sde", 64, 16), median_ms=1.0),
        Timing(cell=cell("sde", 8, 1), not_measured="memory"),
        Timing(cell=cell("euler", 8, 1), median_ms=1.0),
    ]
    assert predicted_s(cell("sde", 8, 16), rows) == pytest.approx(0.6)
    assert predicted_s(cell("sde", 1, 1), rows) is None


def test_ratios_are_to_the_language_model_of_the_same_batch_and_scope() -> None:
    rows = [
        Timing(cell=cell("sde", 8, 4), median_ms=5.0),
        Timing(cell=cell("sde", 8, 4, "with search"), median_ms=5.0),
        Timing(cell=cell("sde", 1, 4), median_ms=5.0),
        Timing(cell=cell(BASELINE, 8), median_ms=100.0),
        Timing(cell=cell(BASELINE, 1), not_measured="memory"),
    ]
    assert ratios(rows) == [20.0, None, None, 1.0, None]


def test_a_failure_and_a_limit_leave_their_reason(tmp_path: Path) -> None:
    def fails() -> Call:
        raise RuntimeError("out of memory\nmore")

    board = board_of(tmp_path, math.inf)
    board.measure(cell("sde", 1, 1), fails)
    board.timings.append(Timing(cell=cell("sde", 8, 1), median_ms=10_000.0))
    board.measure(cell("sde", 8, 16), lambda: pytest.fail("over the limit"))
    board.measure(cell("sde", 8, 4), lambda: lambda _: None)
    written = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["not_measured"] for row in written] == [
        "RuntimeError: out of memory",
        None,
        "one call may take 160 s, over the limit of 60 s",
        None,
    ]
    assert written[3]["repeats"] == 200


def test_a_cell_that_may_miss_the_deadline_is_not_started(tmp_path: Path) -> None:
    board = board_of(tmp_path, time.perf_counter() + 100)
    board.result.facts["guidance"] = 0.1
    board.timings.append(Timing(cell=cell("sde", 1, 1), median_ms=20_000.0))
    board.measure(cell("sde", 1, 2), lambda: lambda _: None)
    board.measure(cell("sde", 3, 1), lambda: pytest.fail("two calls of a minute in 100 s"))
    written = json.loads((tmp_path / "rows.json").read_text())
    assert written["facts"] == {"guidance": 0.1}
    assert written["rows"][1]["repeats"] == 200
    assert written["rows"][2]["not_measured"].startswith("two calls may take 120 s, and ")
