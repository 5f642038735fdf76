"""The figures of an evaluated run of the cookbook, for the tables of README.md and docs/results.md.

``python -m benchmarks.cookbook WORKSPACE`` copies the measures of ``evaluation/metrics.json`` with their intervals and
the validation rewards of train-folm. `make results` makes the workspace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.cookbook import cookbook_tables
from r4t_ray.artifacts import Workspace
from r4t_ray.evaluation.seeds import read_rows
from r4t_ray.folm.validation import read_validation, validation_gain
from r4t_ray.types import TASKS


class CookbookSettings(BenchmarkSettings):
    """The workspace."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with a finished evaluate stage.")


def measure(settings: CookbookSettings) -> Result:
    """Collect the figures."""
    result, workspace = new_result("cookbook", settings), Workspace(settings.workspace)
    result.rows = [dict(row) for row in read_rows(settings.workspace)]
    folm = workspace.artifact("folm").path
    for task in TASKS:
        result.rows += validation_rows(folm / task, task)
    return result


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


BENCHMARK = Benchmark(
    name="cookbook", settings=CookbookSettings, measure=measure, tables=cookbook_tables, about=__doc__
)

if __name__ == "__main__":
    BENCHMARK.main()
