"""Measure the quality at few network evaluations, relative to a reference with 256 evaluations.

``python -m benchmarks.quality WORKSPACE`` needs a workspace with finished catalogue, encoder, index and diffusion
stages. Every solver answers the held-out queries at every number of evaluations, ``--draws`` times with different
noise. The one-step student does the same if there is one. Figures are means over draws and queries. The reference is
the SDE solver at 256 evaluations. Ratios to it have 95% intervals of a bootstrap over the queries, paired by query.
Guidance and noise levels are the settings of the retriever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from benchmarks.evaluations import evaluations_of, steps_within
from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.retrievers import COMPARED, sampling, scored, trial_of
from benchmarks.tables.quality import quality_tables
from r4t_ray.diffusion import STUDENT, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.measures.bootstrap import bootstrap_mean, paired_ratio
from r4t_ray.types import TASKS, Task

REFERENCE: tuple[SolverName, int] = ("sde", 256)
EVALUATIONS = (64, 16, 8, 4, 3, 2, 1)
SOLVERS: tuple[SolverName, ...] = ("sde", "euler", "heun", "dpmpp_2m", "top_anchors", "one_step")


class QualitySettings(BenchmarkSettings):
    """The solvers that are compared."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with finished stages up to diffusion.")
    draws: PositiveInt = Field(3, description="Answers per query, each with different noise.")
    solvers: tuple[SolverName, ...] | None = Field(None, description="Solvers that are measured. Default: all.")


def measure(settings: QualitySettings) -> Result:
    """Measure every solver of every task."""
    result = new_result("quality", settings)
    result.rows = [row for task in TASKS for row in task_rows(settings, task)]
    return result


def ways(solvers: Sequence[SolverName] | None) -> Iterator[tuple[SolverName, int]]:
    """Yield solvers and their steps: first the reference, then each number of steps of a solver once."""
    yield REFERENCE
    for solver in solvers or SOLVERS:
        steps = [steps_within(solver, evaluations) for evaluations in EVALUATIONS]
        yield from ((solver, num) for num in dict.fromkeys(steps))


def task_rows(settings: QualitySettings, task: Task) -> Iterator[ResultRow]:
    """All rows of a task; none if it has no retriever."""
    folder = settings.workspace / "diffusion" / task
    if not folder.is_dir():
        return
    trial, retriever = trial_of(settings.workspace, task), DiffusionRetriever.from_pretrained(folder)
    sampled = [(retriever, solver, num_steps) for solver, num_steps in ways(settings.solvers)]
    if (folder / STUDENT).is_dir():
        sampled.append((DiffusionRetriever.from_pretrained(folder / STUDENT), "one_step", 1))
    reference = None
    for sampled_from, solver, num_steps in sampled:
        if solver == "top_anchors" and sampled_from.mixture is None:
            continue
        name = solver if sampled_from is retriever else "student"
        values = scored(trial, sampling(sampled_from, solver=solver, num_steps=num_steps), solver, settings.draws)
        reference = reference or values
        for measure in COMPARED[task]:
            value = bootstrap_mean(values[measure], 1000, 0)
            ratio = paired_ratio(values[measure], reference[measure], 1000, 0)
            yield {
                "task": task,
                "solver": name,
                "evaluations": evaluations_of(solver, num_steps),
                "measure": measure,
                "value": asdict(value),
                "ratio": asdict(ratio),
            }


BENCHMARK = Benchmark(
    name="quality",
    settings=QualitySettings,
    measure=measure,
    tables=quality_tables,
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
