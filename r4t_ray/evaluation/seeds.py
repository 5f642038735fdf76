"""Tables over seeds: ``python -m r4t_ray.evaluation.seeds WORKSPACE...`` prints them as markdown.

Each workspace holds the evaluation/metrics.json of one seed. A cell shows the mean over the seeds. Brackets hold the
least and the greatest value.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError, R4TError
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.results import MetricRow
from r4t_ray.types import TASKS

Key = tuple[str, str, str]
"""Task, method, measure."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One measured value over seeds: mean, least and greatest."""

    mean: float
    least: float
    greatest: float
    num_seeds: int


def read_rows(root: Path) -> list[MetricRow]:
    """The verified metrics.json of one workspace; raises ArtifactError."""
    rows: list[MetricRow] = json.loads(Workspace(root).artifact("evaluation").file("metrics.json").read_text("utf-8"))
    return rows


def summarise(runs: Sequence[Sequence[MetricRow]]) -> dict[Key, Spread]:
    """Mean, least and greatest value of every task, method and measure over the runs.

    Raises:
        DataError: There is no run, or the runs hold different tasks, methods or measures.
    """
    if not runs:
        raise DataError("workspaces", "none", "one workspace a seed", "name at least one workspace")
    values = [{(row["task"], row["method"], row["measure"]): row["value"] for row in run} for run in runs]
    for number, run in enumerate(values):
        odd = sorted(set(run) ^ set(values[0]))
        if odd:
            raise DataError(
                f"workspace {number + 1}",
                f"rows that are missing here or in the first workspace: {odd[:3]}",
                "the same tasks, methods and measures in every workspace",
                "evaluate all workspaces with the same settings",
            )
    return {key: _spread([run[key] for run in values]) for key in values[0]}


def markdown_tables(spreads: dict[Key, Spread]) -> Iterator[str]:
    """Lines of one table per task, with methods as rows."""
    for task in (task for task in TASKS if any(key[0] == task for key in spreads)):
        measures = list(dict.fromkeys(key[2] for key in spreads if key[0] == task))
        measures.sort(key=lambda measure: measure.startswith("latency_ms"))
        num_seeds = next(spread.num_seeds for key, spread in spreads.items() if key[0] == task)
        yield f"{task}, mean [least, greatest] over {num_seeds} seed{'s' if num_seeds > 1 else ''}"
        yield ""
        yield "| method | " + " | ".join(measures) + " |"
        yield "|---|" + "---|" * len(measures)
        for method in (name for name in METHODS if any(key[:2] == (task, name) for key in spreads)):
            cells = [_cell(measure, spreads.get((task, method, measure))) for measure in measures]
            yield f"| {method} | " + " | ".join(cells) + " |"
        yield ""


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the workspaces and return 0. If one cannot be read, print the error and return 2."""
    try:
        spreads = summarise([read_rows(Path(argument)) for argument in arguments])
    except R4TError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(markdown_tables(spreads)))
    return 0


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean=sum(values) / len(values), least=min(values), greatest=max(values), num_seeds=len(values))


def _cell(measure: str, spread: Spread | None) -> str:
    if spread is None:
        return "-"
    digits = 1 if measure.startswith("latency_ms") else 3
    return f"{spread.mean:.{digits}f} [{spread.least:.{digits}f}, {spread.greatest:.{digits}f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
