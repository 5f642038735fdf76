"""The figures of an evaluated run, for the tables of README.md and docs/results.md.

``python -m benchmarks.report WORKSPACE`` copies the measures of ``evaluation/metrics.json`` with their intervals, the
validation rewards of train-folm, and the counts of the catalogue. `make results` makes the workspace of the cookbook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.report import report_tables
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_items, load_queries, load_sets, recurrence
from r4t_ray.evaluation.seeds import read_rows
from r4t_ray.folm.validation import read_validation, validation_gain
from r4t_ray.types import SPLITS, TASKS


class ReportSettings(BenchmarkSettings):
    """The workspace."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with a finished evaluate stage.")


def measure(settings: ReportSettings) -> Result:
    """Collect the figures."""
    result, workspace = new_result("report", settings), Workspace(settings.workspace)
    result.rows = [dict(row) for row in read_rows(settings.workspace)]
    folm = workspace.artifact("folm").path
    for task in TASKS:
        result.rows += validation_rows(folm / task, task)
    result.facts = catalogue_counts(workspace)
    return result


def catalogue_counts(workspace: Workspace) -> dict[str, int | float]:
    """Items, sets, queries of each task and split, and how often the items of a validation set recur."""
    queries = load_queries(workspace)
    found: dict[str, int | float] = {"items": len(load_items(workspace)), "sets": len(load_sets(workspace))}
    for task in TASKS:
        for split in SPLITS:
            found[f"{task} {split}"] = sum((query.task, query.split) == (task, split) for query in queries)
    return {**found, "recurrence": recurrence(query for query in queries if query.task == "wscr")}


def validation_rows(folder: Path, task: str) -> list[ResultRow]:
    """One row for each validated step, and one with the gain from the first to the last."""
    rewards, gain = read_validation(folder), validation_gain(folder)
    rows: list[ResultRow] = [
        {"task": task, "method": f"step {step}", "measure": "validation_reward", "value": float(np.nanmean(of_B))}
        for step, of_B in rewards.items()
    ]
    if gain:
        figures = {"value": gain.value, "low": gain.low, "high": gain.high, "n": gain.n}
        rows.append({"task": task, "method": "gain", "measure": "validation_reward", **figures})
    return rows


BENCHMARK = Benchmark(name="report", settings=ReportSettings, measure=measure, tables=report_tables, about=__doc__)

if __name__ == "__main__":
    BENCHMARK.main()
