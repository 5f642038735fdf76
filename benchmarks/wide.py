"""Measure answers of 100 items with 10, 20 and 50 directions: latency of the retriever, and recall.

``python -m benchmarks.wide WORKSPACE`` needs a workspace with finished catalogue, encoder, index and diffusion stages,
whose retrievers rank their rows (solver top_anchors). All directions of an answer cost one evaluation of the network. A
language model writes them one after another, so k directions cost it k/10 answers of 10. ``--metrics`` names a
metrics.json with its latency at k = 10.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.retrievers import no_language_model
from benchmarks.tables.quality import TASK_NAMES, WIDE_MEASURES, wide_tables
from r4t_ray.artifacts import Workspace
from r4t_ray.evaluation.evaluate import try_method
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import open_trial
from r4t_ray.folm import SharedEngine
from r4t_ray.measures.bootstrap import bootstrap_mean
from r4t_ray.rewards import OARConfig
from r4t_ray.types import TASKS, Task

BUDGET = 100
KS = (10, 20, 50)
BATCHES = (1, 8)


class WideSettings(BenchmarkSettings):
    """The workspace, and where the plot goes."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with finished stages up to diffusion.")
    repeats: PositiveInt = Field(9, description="Timed calls of each batch size.")
    metrics: Path | None = Field(None, description="metrics.json with the latency of r4t_folm at k = 10.")
    plot: Path | None = Field(None, description="Image that the plot is written to.")


def measure(settings: WideSettings) -> Result:
    """Measure every task and k."""
    result = new_result("wide", settings)
    result.rows = [
        row for task in TASKS if (settings.workspace / "diffusion" / task).is_dir() for row in task_rows(settings, task)
    ]
    result.facts = {"language_model_ms": language_model_ms(settings.metrics)}
    if settings.plot is not None:
        plot(result, settings.plot)
    return result


def task_rows(settings: WideSettings, task: Task) -> Iterator[ResultRow]:
    """One row for each k: its latency at every batch size and the measures of its answers."""
    for k in KS:
        config = EvaluationConfig(
            k=k,
            n=BUDGET // k,
            methods=("r4t_diffusion",),
            latency_batches=BATCHES,
            latency_repeats=settings.repeats,
        )
        engine = SharedEngine(no_language_model)
        trial = open_trial(config, Workspace(settings.workspace), task, engine=engine, reward=OARConfig(), seed=0)
        answered = try_method(config, trial, METHODS["r4t_diffusion"], 0)
        yield {
            "task": task,
            "k": k,
            "n": BUDGET // k,
            **{name: float(np.median(ms)) for name, ms in answered.latency.items()},
            **{name: asdict(bootstrap_mean(answered.values[name], 1000, 0)) for name in (WIDE_MEASURES[task], "vendi")},
        }


def language_model_ms(metrics: Path | None) -> dict[str, float]:
    """Task -> latency of r4t_folm for 8 queries; empty without a file."""
    rows = json.loads(metrics.read_text(encoding="utf-8")) if metrics is not None else []
    return {
        row["task"]: row["value"] for row in rows if (row["method"], row["measure"]) == ("r4t_folm", "latency_ms_b8")
    }


def plot(result: Result, path: Path) -> None:
    """Draw latency at batch 8 and recall against k, one column for each task."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(row["task"] for row in result.rows))
    figure = Figure(figsize=(5 * len(tasks), 6), layout="constrained")
    panels = figure.subplots(2, len(tasks), squeeze=False, sharex=True)
    for column, task in enumerate(tasks):
        rows = [row for row in result.rows if row["task"] == task]
        ks, name = [row["k"] for row in rows], WIDE_MEASURES[task]
        above, below = panels[0, column], panels[1, column]
        above.plot(ks, [row["latency_ms_b8"] for row in rows], marker="o", label="diffusion, top_anchors")
        if task in result.facts["language_model_ms"]:
            once = result.facts["language_model_ms"][task]
            above.plot(ks, [once * k / KS[0] for k in ks], "--", marker="o", label="language model, k/10 answers of 10")
        above.set(title=TASK_NAMES[task], ylabel="ms for 8 queries", yscale="log")
        above.legend(fontsize="small")
        centre = np.array([row[name]["value"] for row in rows])
        bars: Any = [[row[name]["value"] - row[name]["low"], row[name]["high"] - row[name]["value"]] for row in rows]
        below.errorbar(ks, centre, yerr=np.array(bars).T, marker="o")
        below.set(xlabel=f"k, with {BUDGET} / k items each", ylabel=name)
    figure.savefig(path, dpi=120)


BENCHMARK = Benchmark(name="wide", settings=WideSettings, measure=measure, tables=wide_tables, about=__doc__)

if __name__ == "__main__":
    BENCHMARK.main()
