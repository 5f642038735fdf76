"""The tables of evaluated runs: small ones for the README, whole ones for docs/results.md, and the catalogues.

OAR is open-ended abstract retrieval, WSCR is weakly supervised compositional retrieval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from benchmarks.harness import Result, Table
from r4t_ray.evaluation.results import MetricRow
from r4t_ray.evaluation.seeds import summarise

Column = tuple[str, str]
"""Heading and measure of a column."""

OAR_COLUMNS: tuple[Column, ...] = (
    ("theme precision", "theme_precision"),
    ("identification", "identification"),
    ("vendi", "vendi"),
    ("specific reward", "specific_reward"),
    ("reward of eq. 1", "oar_reward"),
    ("fan-out ms", "latency_ms_b8"),
)
OAR_METHODS = ("no_fanout_items", "mmr", "dpp", "greedy_reward", "constant", "best_of_5", "r4t_folm", "r4t_diffusion")
BACK_TRANSLATION_COLUMNS: tuple[Column, ...] = (
    ("back-translation reward", "back_translation_reward"),
    ("theme precision", "theme_precision"),
    ("vendi", "vendi"),
    ("specific reward", "specific_reward"),
)
WSCR_COLUMNS: tuple[Column, ...] = (
    ("recall@100", "recall@100"),
    ("items of training sets", "recall_seen@100"),
    ("other items", "recall_unseen@100"),
    ("vendi", "vendi"),
    ("fan-out ms", "latency_ms_b8"),
)
WSCR_METHODS = (
    "no_fanout",
    "nearest_sets",
    "soft_sets",
    "best_of_5",
    "r4t_folm",
    "r4t_diffusion",
    "no_fanout_items",
    "popular_items",
    "soft_sets_items",
    "ridge_items",
    "ease_items",
    "best_of_5_items",
    "r4t_folm_items",
    "r4t_diffusion_items",
)


def report_tables(result: Result) -> Iterator[Table]:
    """All methods of both tasks with intervals, then the validation rewards of RL."""
    yield whole_table(result, "oar")
    yield whole_table(result, "wscr")
    yield validation_table(result)


def small_table(runs: Sequence[Result], task: str) -> Table:
    """The methods that a reader needs first: means over runs with different seeds. Latencies are the first run's."""
    return _seeds_table(runs, task, with_range=False)


def seeds_table(runs: Sequence[Result], task: str) -> Table:
    """The same methods: mean [least, greatest] over runs with different seeds. Latencies are the first run's."""
    return _seeds_table(runs, task, with_range=True)


def _seeds_table(runs: Sequence[Result], task: str, with_range: bool) -> Table:
    columns, methods = (OAR_COLUMNS, OAR_METHODS) if task == "oar" else (WSCR_COLUMNS, WSCR_METHODS)
    measured = [[row for row in run.rows if row["measure"] != "validation_reward"] for run in runs]
    rows = cast("list[list[MetricRow]]", measured)
    # Other work on the machine disturbs latencies, so their mean says nothing.
    times = {key: spread for key, spread in summarise(rows[:1]).items() if key[2].startswith("latency_ms")}
    spreads = summarise(rows) | times

    def cell(method: str, measure: str) -> str:
        spread = spreads.get((task, method, measure))
        return "-" if spread is None else _figures(measure, spread.mean, (spread.least, spread.greatest) * with_range)

    return Table(
        columns=["method", *(heading for heading, _ in columns)],
        rows=[[name, *(cell(name, measure) for _, measure in columns)] for name in methods],
    )


def whole_table(result: Result, task: str, columns: Sequence[Column] | None = None) -> Table:
    """Every method with intervals; "-" where a method has no such measure."""
    rows = {(row["method"], row["measure"]): row for row in result.rows if row["task"] == task}
    columns = columns or (OAR_COLUMNS if task == "oar" else WSCR_COLUMNS)
    methods = [name for name in dict.fromkeys(name for name, _ in rows) if (name, "vendi") in rows]
    return Table(
        columns=["method", *(heading for heading, _ in columns)],
        rows=[[name, *(_cell(rows.get((name, measure)), True) for _, measure in columns)] for name in methods],
    )


def catalogues_table(runs: Sequence[tuple[str, Result]]) -> Table:
    """Counts of each run's catalogue. ``runs`` holds the name of a catalogue and a run of it."""
    splits = ("train", "val", "test")
    return Table(
        columns=["catalogue", "sets", "items", "OAR queries", "WSCR queries", "items that recur"],
        rows=[
            [
                name,
                f"{run.facts['sets']:,}",
                f"{run.facts['items']:,}",
                *(" / ".join(f"{run.facts[f'{task} {split}']:,}" for split in splits) for task in ("oar", "wscr")),
                f"{run.facts['recurrence']:.0%}",
            ]
            for name, run in runs
        ],
    )


def validation_table(result: Result) -> Table:
    """The mean reward of the validation queries by step of RL, one line per task."""
    rows = [row for row in result.rows if row["measure"] == "validation_reward"]
    steps = sorted({int(row["method"].removeprefix("step ")) for row in rows if row["method"] != "gain"})
    of = {(row["task"], row["method"]): row for row in rows}
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    return Table(
        columns=["task", *(f"step {step}" for step in steps), "gain"],
        rows=[
            [task, *(_cell(of.get((task, f"step {step}"))) for step in steps), _cell(of.get((task, "gain")), True)]
            for task in tasks
        ],
    )


def _cell(row: dict[str, Any] | None, interval: bool = False) -> str:
    if row is None:
        return "-"
    return _figures(row["measure"], row["value"], (row["low"], row["high"]) if interval else ())


def _figures(measure: str, value: float, bounds: Sequence[float]) -> str:
    """``value [low, high]``, or the value alone if there are no bounds or both are equal."""
    form = "{:.0f}" if measure.startswith("latency_ms") else "{:.3f}"
    if not bounds or bounds[0] == bounds[1]:
        return form.format(value)
    return f"{form.format(value)} [{', '.join(form.format(bound) for bound in bounds)}]"
