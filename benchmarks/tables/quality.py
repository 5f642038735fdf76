"""Tables of the benchmarks quality, students and select.

OAR is open-ended abstract retrieval, WSCR is weakly supervised compositional retrieval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness import Result, ResultRow, Table

GOAL = 0.98
WIDE_MEASURES = {"oar": "theme_recall", "wscr": "recall@100"}
"""The measure of recall of benchmarks.wide."""
TASK_NAMES = {"oar": "OAR", "wscr": "WSCR"}
MEASURE_NAMES = {"oar_reward": "reward", "recall@100": "recall@100", "vendi": "Vendi"}
SOLVER_NAMES = {
    "sde": "SDE",
    "heun": "Heun",
    "euler": "Euler",
    "dpmpp_2m": "DPM-Solver++(2M)",
    "one_step": "one step of the retriever itself",
    "student": "one-step student",
}


def estimate(value: dict[str, Any]) -> str:
    """A mean with its 95% interval.

    >>> estimate({"value": 0.23851, "low": 0.2093, "high": 0.26849, "n": 247})
    '0.239 [0.209, 0.268]'
    """
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def share(ratio: dict[str, Any]) -> str:
    """A ratio in percent with its 95% interval.

    >>> share({"value": 1.0036, "low": 1.002, "high": 1.0051, "n": 76})
    '100.4% [100.2, 100.5]'
    """
    return f"{ratio['value']:.1%} [{100 * ratio['low']:.1f}, {100 * ratio['high']:.1f}]"


def quality_tables(result: Result, chosen: Sequence[tuple[str, int]] | None = None) -> Iterator[Table]:
    """One table per task: the ratio to the reference for each solver and number of evaluations.

    Args:
        result: A result of ``benchmarks.quality``; the first row of a task is the reference.
        chosen: Solvers and their evaluations, in order. Default: all.
    """
    for task in dict.fromkeys(row["task"] for row in result.rows):
        own = [row for row in result.rows if row["task"] == task]
        measures = list(dict.fromkeys(row["measure"] for row in own))
        reference = {row["measure"]: row["value"]["value"] for row in reversed(own) if _way(row) == _way(own[0])}
        ways = list(dict.fromkeys(map(_way, own)))
        lines = []
        for way in ways if chosen is None else [way for way in chosen if way in ways]:
            ratios = {row["measure"]: row["ratio"] for row in own if _way(row) == way}
            kept = all(ratio["value"] >= GOAL for ratio in ratios.values())
            name = SOLVER_NAMES.get(way[0], f"`{way[0]}`")
            lines.append((name, str(way[1]), *(share(ratios[name]) for name in measures), "yes" if kept else "no"))
        heads = (f"{MEASURE_NAMES[name]}, reference {reference[name]:.3f}" for name in measures)
        yield Table(
            columns=(TASK_NAMES[task], "evaluations", *heads, f"keeps {GOAL:.0%}"),
            rows=lines,
            notes=(
                f"keeps {GOAL:.0%}: at least {GOAL:.0%} of each measure of the reference, which has "
                f"{own[0]['evaluations']} evaluations.",
            ),
        )


def _way(row: ResultRow) -> tuple[str, int]:
    return row["solver"], row["evaluations"]


def students_tables(result: Result) -> Iterator[Table]:
    """One table per task: the measures of every student, and their ratios to the measures of the retriever."""
    for task in dict.fromkeys(row["task"] for row in result.rows):
        own = [row for row in result.rows if row["task"] == task]
        heads = [
            head
            for name in dict.fromkeys(row["measure"] for row in own)
            for head in (MEASURE_NAMES[name], "ratio to the retriever")
        ]
        lines = []
        for student in dict.fromkeys(row["student"] for row in own):
            of_student = [row for row in own if row["student"] == student]
            fit_s = of_student[0]["fit_s"]
            cells = [cell for row in of_student for cell in (estimate(row["value"]), share(row["ratio"]))]
            lines.append((student, "-" if fit_s is None else f"{fit_s:.0f}", *cells))
        yield Table(columns=(TASK_NAMES[task], "seconds to fit", *heads), rows=lines)


def select_table(result: Result) -> Table:
    """One line per rule: the number of selected pairs, their mean reward, and the measures of the retriever."""
    measures = list(dict.fromkeys(row["measure"] for row in result.rows))
    lines = []
    for rule in dict.fromkeys(row["rule"] for row in result.rows):
        own = [row for row in result.rows if row["rule"] == rule]
        figures = (f"{own[0]['pairs']:,}", f"{own[0]['fan_outs']:,}", f"{own[0]['reward']:.3f}")
        lines.append((rule, *figures, *(estimate(row["value"]) for row in own)))
    heads = (MEASURE_NAMES[name] for name in measures)
    return Table(columns=("rule", "pairs", "fan-outs", "mean reward of the pairs", *heads), rows=lines)


def wide_tables(result: Result) -> Iterator[Table]:
    """One table per task: recall, diversity and latency of answers of 100 items with k directions.

    A language model that writes 10 directions takes k/10 answers for k.
    """
    model_ms = result.facts["language_model_ms"]
    for task in dict.fromkeys(row["task"] for row in result.rows):
        measure = WIDE_MEASURES[task]
        yield Table(
            columns=(
                TASK_NAMES[task],
                measure,
                "Vendi / k",
                "ms, batch 1",
                "ms, batch 8",
                "language model, batch 8",
            ),
            rows=[
                (
                    f"{row['k']} x {row['n']}",
                    estimate(row[measure]),
                    estimate(row["vendi"]),
                    *(f"{row[f'latency_ms_b{batch}']:.1f}" for batch in (1, 8)),
                    f"{model_ms[task] * row['k'] / 10:,.0f}" if task in model_ms else "-",
                )
                for row in result.rows
                if row["task"] == task
            ],
        )
