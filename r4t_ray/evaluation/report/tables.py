"""The tables of one task, and the sentences about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.report.comparisons import Comparison, is_trained
from r4t_ray.evaluation.results import Loss, MetricRow, Result
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.types import Task

VERDICTS = {
    "above": "above the cheap method",
    "below": "below the cheap method",
    "unclear": "may be chance, the interval contains 0",
}


def headline_measures(task: Task, budget: int) -> tuple[str, ...]:
    """Measures that say whether an answer is about its query. They make the first table.

    OAR is open-ended abstract retrieval. WSCR is weakly supervised compositional retrieval.
    """
    if task == "oar":
        themed = ("theme_precision", "theme_precision_all", "theme_recall")
        return (*themed, "swap", "identification", "jaccard", "catalogue_share")
    return f"recall@{budget}", f"recall_seen@{budget}", f"recall_unseen@{budget}", "swap", "identification"


def deciding_measures(task: Task, budget: int, main: str) -> tuple[str, ...]:
    """Measures of the paired tests; higher is better. ``main`` is the measure that the task's model is trained for."""
    return ("theme_precision", main) if task == "oar" else (main, f"recall_unseen@{budget}")


def figure(row: MetricRow) -> str:
    """A value with its interval, as a table cell."""
    digits = 1 if row["measure"].startswith("latency_ms") else 3
    return f"{row['value']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def headline_table(rows: Sequence[MetricRow], measures: Sequence[str], config: EvaluationConfig) -> Iterator[str]:
    """One row per method, with intervals. Trained methods are bold.

    Args:
        rows: The rows of metrics.json of one task.
        measures: The columns. A measure without any row is left out.
        config: The settings of the evaluation.
    """
    measured = {row["measure"] for row in rows}
    columns = [measure for measure in measures if measure in measured]
    cells = {(row["method"], row["measure"]): figure(row) for row in rows} | {
        (row["method"], row["measure"]): f"{row['value']:.3f}" for row in rows if row["measure"] == "catalogue_share"
    }
    yield "| method | answer | " + " | ".join(columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    for method in _methods(rows):
        values = [cells.get((method, measure), "-") for measure in columns]
        yield f"| {_shown(method)} | {format_label(METHODS[method].format, config)} | " + " | ".join(values) + " |"


def counts_line(rows: Sequence[MetricRow], measures: Sequence[str]) -> str:
    """The number of held-out queries, and of those that have a value of each measure if these are fewer."""
    queries = [row for row in rows if not row["measure"].startswith("latency_ms")]
    num = max(row["n"] for row in queries)
    fewer = {row["measure"]: row["n"] for row in queries if row["measure"] in measures and row["n"] < num}
    parts = "".join(f" {measure} has a value for {n} of them." for measure, n in fewer.items())
    return f"{num} held-out queries.{parts}"


def further_table(rows: Sequence[MetricRow], results: Sequence[Result], headline: Sequence[str]) -> Iterator[str]:
    """One row per method with the measures that are not in the first table, the latencies and the time of an answer.

    WSCR has references, so the table shows no OAR reward of it.

    Args:
        rows: The rows of metrics.json of one task.
        results: The results of the task.
        headline: Measures of the first table.
    """
    columns = [name for name in dict.fromkeys(row["measure"] for row in rows) if name not in headline]
    if any(row["task"] == "wscr" for row in rows):
        columns = [name for name in columns if not name.endswith("_reward")]
    columns.sort(key=lambda measure: measure.startswith("latency_ms"))
    cells = {
        (row["method"], row["measure"]): f"{row['value']:.{1 if row['measure'].startswith('latency_ms') else 3}f}"
        for row in rows
    }
    answer_ms = {result.method: result.answer_ms for result in results}
    yield "| method | " + " | ".join([*columns, "answer ms"]) + " |"
    yield "|---|" + "---|" * (len(columns) + 1)
    for method in _methods(rows):
        values = [cells.get((method, measure), "-") for measure in columns]
        yield f"| {_shown(method)} | " + " | ".join([*values, f"{answer_ms[method]:.1f}"]) + " |"


def paired_table(comparisons: Sequence[Comparison], config: EvaluationConfig) -> Iterator[str]:
    """One row per trained method and measure: its paired difference to the best cheap method of the same format."""
    yield "| trained method | answer | measure | best cheap method | difference | the trained method is |"
    yield "|---|---|---|---|---|---|"
    for one in comparisons:
        difference = one.difference
        yield (
            f"| {one.trained} | {format_label(one.format, config)} | {one.measure} | {one.cheap} "
            f"| {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}] | {VERDICTS[one.verdict]} |"
        )


def format_label(answer_format: str, config: EvaluationConfig) -> str:
    """``k x n`` for directions, ``list of K`` for one ranked list."""
    return f"list of {config.k * config.n}" if answer_format == "items" else f"{config.k} x {config.n}"


def losses_line(measure: str, losses: Sequence[Loss]) -> str:
    """One sentence with every method that loses to a cheaper one of the same format by more than chance."""
    clear = [f"{loss.loser} (to {loss.winner}, by {loss.difference.value:.3f})" for loss in losses if loss.is_clear]
    if not clear:
        return f"By {measure}, no method clearly loses to a cheaper one of the same format."
    return f"By {measure}, these methods clearly lose to a cheaper one of the same format: {', '.join(clear)}."


def compiled(measure: str, results: Sequence[Result]) -> list[str]:
    """For the diffusion and its student: the share of r4t_folm's ``measure`` that they keep, and their speedup.

    Args:
        measure: The measure that the task's model is trained to raise.
        results: The results of the task.
    """
    rows = {result.method: result for result in results}
    if "r4t_folm" not in rows:
        return []
    folm, reward = rows["r4t_folm"], rows["r4t_folm"].mean(measure)
    lines = []
    for name in (name for name in ("r4t_diffusion", "r4t_student") if name in rows):
        if reward <= 0:
            lines.append(f"r4t_folm's {measure} is {reward:.3f}, so the share that {name} keeps is undefined.")
            continue
        speeds = []
        for batch, ours_ms in rows[name].latency.items():
            ratio = np.median(folm.latency[batch]) / np.median(ours_ms)
            speeds.append(f"{ratio:.3g} times as fast at batch {batch.rpartition('_b')[2]}")
        faster = f"; its fan-out is {', '.join(speeds)}" if speeds else ""
        lines.append(f"{name} keeps {rows[name].mean(measure) / reward:.0%} of r4t_folm's {measure}{faster}.")
    return lines


def sampler_note(config: EvaluationConfig) -> str:
    """One sentence about the settings that r4t_diffusion samples with."""
    overrides = {"solver": config.solver, "num_steps": config.num_steps, "guidance": config.guidance}
    named = [f"{name} {value}" for name, value in overrides.items() if value is not None]
    if not named:
        return "r4t_diffusion samples with the settings stored with the model."
    return f"r4t_diffusion samples with {', '.join(named)} and otherwise with the settings stored with the model."


def _methods(rows: Sequence[MetricRow]) -> list[str]:
    """The methods of the rows: first those with directions, then those with a list, both in the order of METHODS."""
    return sorted(dict.fromkeys(row["method"] for row in rows), key=lambda method: METHODS[method].format)


def _shown(method: str) -> str:
    return f"**{method}**" if is_trained(METHODS[method]) else method
