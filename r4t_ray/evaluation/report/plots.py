"""Plots of the report: training curves of the fan-out language model, and quality against latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.results import Result, main_measure_of
from r4t_ray.types import TASKS

COMPONENTS = ("groundedness", "nearness", "vendi", "alignment", "coverage", "format", "parsed")
CURVES = ("reward", *map("component/{}".format, COMPONENTS))
"""Columns of folm/metrics.parquet that are plotted if they exist."""

SMOOTHING_STEPS = 5


def plot_rewards(metrics_path: Path, folder: Path) -> list[Path]:
    """Plot every reward component over the training steps, one panel per task.

    A faint line shows the logged values, a bold line their running mean.

    Returns:
        The path of the image; empty if ``metrics_path`` does not exist.
    """
    from matplotlib.figure import Figure

    if not metrics_path.is_file():
        return []
    table = pq.read_table(metrics_path)
    tasks = sorted(set(table["task"].to_pylist())) if "task" in table.column_names else [None]
    figure = Figure(figsize=(6 * len(tasks), 4), layout="constrained")
    for panel, task in zip(np.ravel(figure.subplots(1, len(tasks), squeeze=False)), tasks, strict=True):
        rows = table if task is None else table.filter(pc.equal(table["task"], task))
        for name in [name for name in CURVES if _is_number(rows, name)]:
            steps, values = _series(rows, name)
            if len(values):
                (line,) = panel.plot(
                    steps, running_mean(values, SMOOTHING_STEPS), label=name.removeprefix("component/")
                )
                panel.plot(steps, values, color=line.get_color(), alpha=0.25, linewidth=0.8)
        panel.set(title=f"Soft-GRPO, {task or 'all tasks'}", xlabel="step", ylabel="mean over samples")
        if panel.lines:
            panel.legend(fontsize="small")
    path = folder / "reward_curves.png"
    figure.savefig(path, dpi=120)
    return [path]


def plot_quality_latency(results: Sequence[Result], k: int, n: int, folder: Path) -> list[Path]:
    """Plot the main measure of each task against latency, one panel per task.

    Each method is one line with a point per batch size. The latency is per query of the batch. Methods without a timed
    generation are dotted horizontal lines.

    Returns:
        The path of the image.
    """
    from matplotlib.figure import Figure

    tasks = [task for task in TASKS if any(result.task == task for result in results)]
    figure = Figure(figsize=(8 * len(tasks), 4.5), layout="constrained")
    for panel, task in zip(np.ravel(figure.subplots(1, len(tasks), squeeze=False)), tasks, strict=True):
        measure = main_measure_of(results, task, k, n)
        rows = [result for result in results if result.task == task]
        for result in rows:
            _draw_method(panel, result, float(result.values[measure].mean()), colour_of(result.method))
        panel.set(title=task, xlabel="fan-out latency, ms a query", ylabel=measure)
        if any(result.latency for result in rows):
            panel.set_xscale("log")
        panel.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    path = folder / "quality_latency.png"
    figure.savefig(path, dpi=120)
    return [path]


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """For each position, the mean of its value and of up to ``width - 1`` values before it.

    >>> running_mean(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [1.0, 2.0, 4.0]
    """
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def colour_of(method: str) -> tuple[float, ...]:
    """The colour of a method, equal in every panel and different from all others: red, green, blue, opacity."""
    from matplotlib import colormaps

    return tuple(map(float, colormaps["turbo"](list(METHODS).index(method) / len(METHODS))))


def _draw_method(panel: Any, result: Result, quality: float, colour: tuple[float, ...]) -> None:
    if not result.latency:
        panel.axhline(quality, linestyle=":", color=colour, label=f"{result.method} (no generation)")
        return
    sizes = [int(name.rpartition("_b")[2]) for name in result.latency]
    times = [float(np.median(ms)) / size for ms, size in zip(result.latency.values(), sizes, strict=True)]
    panel.plot(times, [quality] * len(times), marker="o", color=colour, label=result.method)
    for size, time_ms in zip(sizes, times, strict=True):
        panel.annotate(f"b{size}", (time_ms, quality), fontsize=7, xytext=(0, 5), textcoords="offset points")


def _is_number(table: pa.Table, name: str) -> bool:
    if name not in table.column_names:
        return False
    kind = table.schema.field(name).type
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _series(table: pa.Table, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(steps, values) of a column, without the steps that have no value."""
    values = np.asarray(table[name].to_numpy(), dtype=np.float64)
    steps = np.asarray(table["step"].to_numpy(), dtype=np.float64)
    logged = np.isfinite(values)
    return steps[logged], values[logged]
