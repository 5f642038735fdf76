"""Quality against evaluations of the network: what few steps keep of the 256-step reference.

``python -m benchmarks.quality WORKSPACE`` takes a workspace whose ingest, embed, index and diffusion stages are
finished. Every solver answers the held-out queries at every number of evaluations, ``--draws`` times from other noise,
and so does the one-step student where there is one; the figures are means over draws and queries. The ratio is to the
SDE solver at 256 evaluations, with the 95% interval of a bootstrap over the queries, which both sides share. Guidance
and levels are the retriever's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluations import evaluations_of, steps_within
from benchmarks.retrievers import KEPT, sampling, scored, trial_of, write_rows
from r4t_ray.diffusion import STUDENT, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.evaluation.bootstrap import Estimate, bootstrap_mean, paired_ratio
from r4t_ray.types import TASKS, Task

REFERENCE: tuple[SolverName, int] = ("sde", 256)
EVALUATIONS = (64, 16, 8, 4, 3, 2, 1)
SOLVERS: tuple[SolverName, ...] = ("sde", "euler", "heun", "dpmpp_2m", "top_anchors", "one_step")
GOAL = 0.98


@dataclass(frozen=True)
class Row:
    """One measure of one way to sample, and its ratio to the reference's."""

    task: Task
    solver: str
    evaluations: int
    measure: str
    value: Estimate
    ratio: Estimate


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, help="folder with finished ingest, embed, index and diffusion stages")
    parser.add_argument("--draws", type=int, default=3, help="answers to each query, each from other noise")
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS)
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    return parser


def main() -> None:
    """Measure every solver of every task and print the table."""
    options = parser().parse_args()
    rows = [row for task in TASKS for row in task_rows(options, task)]
    print(table(rows))
    write_rows(options, rows)


def ways(solvers: Sequence[SolverName] | None) -> Iterator[tuple[SolverName, int]]:
    """Solvers and their steps, the reference first, each number of evaluations once."""
    yield REFERENCE
    for solver in solvers or SOLVERS:
        steps = [steps_within(solver, evaluations) for evaluations in EVALUATIONS]
        yield from ((solver, num) for num in dict.fromkeys(steps))


def task_rows(options: argparse.Namespace, task: Task) -> Iterator[Row]:
    """All rows of a task; none where it has no retriever."""
    folder = options.workspace / "diffusion" / task
    if not folder.is_dir():
        return
    trial, retriever = trial_of(options.workspace, task), DiffusionRetriever.from_pretrained(folder)
    sampled = [(retriever, solver, num_steps) for solver, num_steps in ways(options.solvers)]
    if (folder / STUDENT).is_dir():
        sampled.append((DiffusionRetriever.from_pretrained(folder / STUDENT), "one_step", 1))
    reference = None
    for asked, solver, num_steps in sampled:
        if solver == "top_anchors" and asked.mixture is None:
            continue
        name = solver if asked is retriever else "student"
        values = scored(trial, sampling(asked, solver=solver, num_steps=num_steps), solver, options.draws)
        reference = reference or values
        for measure in KEPT[task]:
            value = bootstrap_mean(values[measure], 1000, 0)
            ratio = paired_ratio(values[measure], reference[measure], 1000, 0)
            yield Row(task, name, evaluations_of(solver, num_steps), measure, value, ratio)


def table(rows: Sequence[Row]) -> str:
    """A line for each way to sample: value, ratio and the ratio's interval of each measure."""
    lines = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        measures = list(dict.fromkeys(row.measure for row in own))
        head = "".join(f"{measure:>12} {'of reference':>22}" for measure in measures)
        lines.append(f"{task:<5} {'solver':<10} {'evaluations':>11}{head} {'kept':>5}")
        for way in dict.fromkeys((row.solver, row.evaluations) for row in own):
            of_way = {row.measure: row for row in own if (row.solver, row.evaluations) == way}
            cells = "".join(
                f"{row.value.value:>12.3f} {row.ratio.value:>7.1%} [{row.ratio.low:.1%}, {row.ratio.high:.1%}]".ljust(
                    35
                )
                for row in of_way.values()
            )
            kept = all(row.ratio.value >= GOAL for row in of_way.values())
            lines.append(f"{'':<5} {way[0]:<10} {way[1]:>11}{cells} {'yes' if kept else 'no':>5}")
    lines.append(f"kept: {GOAL:.0%} or more of every measure of the reference.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
