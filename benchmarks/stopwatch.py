"""The timing of calls: each cell is repeated until it is timed well enough, or has the reason why it is not timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.harness import Result, ResultRow

Call = Callable[[int], object]
"""The timed call. Its argument numbers the repeat, so that inputs and seeds differ; repeat 0 is not counted."""

ENOUGH_MS = 1000.0
MOST_REPEATS = 200
WARM_UP_S = 1.0
"""A call that is expected to take longer gets no warm-up call, because a shorter cell has already run its kernels."""
BASELINE = "language model"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A model and the way in which it is run.

    ``scope`` is "fan-out" or "with search". ``asked`` is the requested number of evaluations. ``steps`` is the number
    of solver steps that fit, and ``evaluations`` is their number of evaluations. All three are None for a language
    model.
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


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A cell with the median, minimum and maximum time of a call, or with the reason why it was not timed."""

    cell: Cell
    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    repeats: int = 0
    not_measured: str | None = None


def is_enough(elapsed_ms: Sequence[float]) -> bool:
    """Whether to stop: after 200 calls, or after one second of calls.

    One second is enough with at least 3 calls. If a call takes over 5 s, 2 calls are enough; if over 30 s, 1 call.
    """
    if not elapsed_ms:
        return False
    fewest = 1 if elapsed_ms[-1] > 30_000 else 2 if elapsed_ms[-1] > 5_000 else 3
    return len(elapsed_ms) >= MOST_REPEATS or (len(elapsed_ms) >= fewest and sum(elapsed_ms) >= ENOUGH_MS)


def predicted_s(cell: Cell, timings: Sequence[Timing]) -> float | None:
    """Predict the seconds of one call from smaller cells; None when no smaller cell was timed.

    The prediction assumes that time is proportional to the evaluations and to the batch size. It is the lowest
    prediction from all smaller cells, and mostly too high, because every call has a fixed part.
    """
    guesses = []
    for timing in timings:
        known = timing.cell
        alike = (known.what, known.scope, known.mode) == (cell.what, cell.scope, cell.mode)
        if not alike or timing.median_ms is None or known.batch > cell.batch:
            continue
        growth = (cell.evaluations or 1) / (known.evaluations or 1)
        if growth >= 1:
            guesses.append(timing.median_ms / 1000 * growth * cell.batch / known.batch)
    return min(guesses, default=None)


def ratios(timings: Sequence[Timing]) -> list[float | None]:
    """The language model's median time over each timing's, at the same batch and scope; above 1 is faster."""
    baseline = {
        (timing.cell.batch, timing.cell.scope): timing.median_ms
        for timing in timings
        if timing.cell.what == BASELINE and timing.median_ms is not None
    }
    found = [(baseline.get((timing.cell.batch, timing.cell.scope)), timing.median_ms) for timing in timings]
    return [lm_ms / own_ms if lm_ms and own_ms else None for lm_ms, own_ms in found]


def reason(error: RuntimeError) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:160]


def attempt(prepare: Callable[[], object]) -> str | None:
    """Run a preparation that is not timed; returns the reason when the compiler or the memory fails, else None."""
    try:
        prepare()
    except RuntimeError as error:
        return reason(error)
    return None


@dataclass(kw_only=True)
class Board:
    """Times cell after cell, prints each at once, and keeps the result and its file up to date.

    Attributes:
        synchronize: Waits for the device.
        result: Holds a row for each cell.
        out: JSON file of the result; None writes none.
        deadline: time.perf_counter() at which the run should end; a cell that may end later is not started.
        call_limit_s: A cell is not timed if one call may take longer than this.
    """

    synchronize: Callable[[], None]
    result: Result
    out: Path | None
    deadline: float
    call_limit_s: float
    timings: list[Timing] = field(default_factory=list)

    def measure(self, cell: Cell, make: Callable[[], Call], *, why: str | None = None) -> None:
        """Time the call that ``make`` returns.

        A RuntimeError (memory, compiler) gives a row with the reason. ``why`` gives a row with that reason and no call.
        """
        expected_s = predicted_s(cell, self.timings) or 0.0
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
        self._add(Timing(cell=cell, not_measured=why))

    def _timed(self, cell: Cell, call: Call, expected_s: float) -> Timing:
        if expected_s <= WARM_UP_S:
            call(0)
        self.synchronize()
        elapsed_ms: list[float] = []
        while not is_enough(elapsed_ms) and not (elapsed_ms and time.perf_counter() > self.deadline):
            start = time.perf_counter()
            call(len(elapsed_ms) + 1)
            self.synchronize()
            elapsed_ms.append((time.perf_counter() - start) * 1000)
        return Timing(
            cell=cell,
            median_ms=statistics.median(elapsed_ms),
            low_ms=min(elapsed_ms),
            high_ms=max(elapsed_ms),
            repeats=len(elapsed_ms),
        )

    def _add(self, timing: Timing) -> None:
        self.timings.append(timing)
        print(line(timing), flush=True)
        self.result.rows = rows_of(self.timings)
        self.result.write(self.out)


def rows_of(timings: Sequence[Timing]) -> list[ResultRow]:
    """One flat row for each timing, ``ratio`` included."""
    rows = []
    for timing, ratio in zip(timings, ratios(timings), strict=True):
        figures = asdict(timing)
        rows.append({**figures.pop("cell"), **figures, "ratio": ratio})
    return rows


def line(timing: Timing) -> str:
    """One timing as text."""
    cell = timing.cell
    count = "" if cell.evaluations is None else f", {cell.evaluations} evaluations in {cell.steps} steps"
    head = f"{cell.what}{count}, {cell.scope}, {cell.mode}, batch {cell.batch}: "
    if timing.median_ms is None:
        return f"{head}not measured: {timing.not_measured}"
    return f"{head}{timing.median_ms:.3f} ms [{timing.low_ms:.3f}, {timing.high_ms:.3f}], {timing.repeats} repeats"
