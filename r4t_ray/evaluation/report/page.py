"""report.md from top to bottom: for each task the tables, who wins and example answers; then plots and definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.report.comparisons import Comparison, best_cheap, compare, who_wins
from r4t_ray.evaluation.report.definitions import MEASURES
from r4t_ray.evaluation.report.examples import Asked, example_table
from r4t_ray.evaluation.report.tables import (
    compiled,
    counts_line,
    deciding_measures,
    format_label,
    further_table,
    headline_measures,
    headline_table,
    losses_line,
    paired_table,
    sampler_note,
)
from r4t_ray.evaluation.results import CHEAPER_SHARE, MetricRow, Result, losses_to_cheaper, main_measure_of
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.rewards import OARConfig
from r4t_ray.types import TASKS, Task

TASK_TITLES: dict[Task, str] = {
    "oar": "oar: open-ended abstract retrieval, without a reference set",
    "wscr": "wscr: weakly supervised compositional retrieval, one plausible reference set per query",
}
WANTED: dict[Task, str] = {"oar": "is relevant to the theme", "wscr": "is in the query's reference set"}


def write_report(
    path: Path,
    results: Sequence[Result],
    rows: Sequence[MetricRow],
    *,
    config: EvaluationConfig,
    reward: OARConfig,
    plots: Sequence[Path],
    asked: Mapping[Task, Asked],
    seed: int,
) -> None:
    """Write the report as markdown.

    Args:
        path: The file.
        results: The measured values and the answers of every method and task.
        rows: The rows of metrics.json.
        config: The settings of the evaluation.
        reward: The weights of ``oar_reward``.
        plots: Images in the folder of the report.
        asked: Queries and pool of each task, for the example answers. A task without them has no examples.
        seed: The seed of the evaluation.
    """
    sections = ["# Evaluation", " ".join(_opening(config))]
    for task in (task for task in TASKS if any(row["task"] == task for row in rows)):
        of_task = [result for result in results if result.task == task]
        sections += _task_sections(task, of_task, [row for row in rows if row["task"] == task], config, seed=seed)
        if task in asked:
            sections += _examples(task, of_task, asked[task], config, seed)
    sections += ["## Plots", *(f"![{plot.stem.replace('_', ' ')}]({plot.name})" for plot in plots)] if plots else []
    sections += ["## Settings", " ".join(_settings(config, results, seed))]
    sections += ["## Methods", "\n".join(_definitions(results))]
    sections += ["## Measures", _measures(config, reward)]
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _opening(config: EvaluationConfig) -> Iterator[str]:
    yield "Every method answers the same held-out queries."
    yield (
        f"An answer is either {config.k} directions with {config.n} items each ({format_label('directions', config)}), "
        f"or one ranked list of {config.k * config.n} items ({format_label('items', config)})."
    )
    yield "Trained methods are bold. A cheap method reads no model."
    yield "Brackets hold 95% intervals over queries. Methods and measures are defined at the end."
    yield "metrics.json has the intervals that the tables leave out."


def _task_sections(
    task: Task, results: Sequence[Result], rows: Sequence[MetricRow], config: EvaluationConfig, *, seed: int
) -> Iterator[str]:
    """The title, the first table, who wins, the paired tests, and the second table of one task."""
    budget, main = config.k * config.n, main_measure_of(results, task, config.k, config.n)
    headline = headline_measures(task, budget)
    yield f"## {TASK_TITLES[task]}"
    yield f"{counts_line(rows, headline)} Are the answers about their queries?"
    yield "\n".join(headline_table(rows, headline, config))
    comparisons = compare(results, deciding_measures(task, budget, main), config.num_bootstrap, seed)
    if comparisons:
        yield "\n".join(_winners(comparisons, config))
        yield "Every trained method against the best cheap method of the same format, paired by query:"
        yield "\n".join(paired_table(comparisons, config))
    yield "Further measures and times:"
    yield "\n".join(further_table(rows, results, headline))
    losses = losses_to_cheaper(results, task, main, config.num_bootstrap, seed)
    yield " ".join([losses_line(main, losses), *compiled(main, results)])


def _winners(comparisons: Sequence[Comparison], config: EvaluationConfig) -> Iterator[str]:
    for answer_format, text in who_wins(comparisons):
        yield f"- **{format_label(answer_format, config)}.** {text}"


def _examples(
    task: Task, results: Sequence[Result], asked: Asked, config: EvaluationConfig, seed: int
) -> Iterator[str]:
    """Example answers of r4t_diffusion and of the best cheap method, whichever are measured."""
    budget, main = config.k * config.n, main_measure_of(results, task, config.k, config.n)
    cheap = best_cheap(results, "directions", deciding_measures(task, budget, main)[0])
    shown = [result for result in results if result.method == "r4t_diffusion"] + ([cheap] if cheap else [])
    if not shown:
        return
    yield f"### Example answers of {task}"
    yield (
        "The queries are drawn by the seed, not chosen. Each answer is the top item of every direction, in order. "
        f"A bold item {WANTED[task]}."
    )
    yield "\n".join(example_table(asked, {result.method: result.answers for result in shown}, seed))


def _settings(config: EvaluationConfig, results: Sequence[Result], seed: int) -> Iterator[str]:
    yield f"The seed is {seed}. Intervals are from {config.num_bootstrap} bootstrap resamples of the queries."
    yield (
        f"Language models sample at temperature {config.temperature:g}. mmr, mmr_items, dpp and greedy_reward pick "
        f"from the {config.num_candidates} nearest items of the query."
    )
    tuned = [f"{row.task} {row.method} {row.tuned:g}" for row in results if row.tuned is not None]
    if tuned:
        yield f"Settings that were tuned on validation queries: {', '.join(tuned)}."
    yield sampler_note(config)


def _measures(config: EvaluationConfig, reward: OARConfig) -> str:
    return MEASURES.format(
        k=config.k,
        n=config.n,
        budget=config.k * config.n,
        reward=reward,
        cheaper=CHEAPER_SHARE,
        repeats=config.latency_repeats,
    )


def _definitions(results: Sequence[Result]) -> Iterator[str]:
    measured = {result.method for result in results}
    return (f"- {name}: {method.definition}" for name, method in METHODS.items() if name in measured)
