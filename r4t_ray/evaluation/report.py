"""report.md: one table per task, the methods that lose to a cheaper one, and definitions of methods and measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.results import CHEAPER_SHARE, MetricRow, Result, losses_to_cheaper
from r4t_ray.evaluation.scores import main_measure
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.rewards import OARConfig
from r4t_ray.types import TASKS, Task

TASK_TITLES: dict[Task, str] = {
    "oar": "oar: open-ended abstract retrieval, without a reference set",
    "wscr": "wscr: weakly supervised compositional retrieval, one plausible reference set per query",
}
MEASURES = """\
- recall@K: share of the reference items that are retrieved (eq. 5). K is {k} directions x {n} items = {budget} items \
for every method. An item that two directions retrieve counts once. The reference set is one of many \
plausible answers, so read recall together with vendi and groundedness.
- hit@K: share of queries with at least one retrieved reference item.
- vendi: Vendi score of the directions' top items, divided by k = {k}. It is 1 if all items are orthogonal and 1/k if \
all are identical.
- groundedness: 1 minus the mean Euclidean distance between a direction and its nearest item (eq. 3). The directions \
of r4t_diffusion and r4t_student are the generated embeddings.
- alignment: mean cosine between the directions and the query (eq. 4).
- oar_reward: {reward.w_ground:g} groundedness + {reward.w_div:g} vendi + {reward.w_align:g} alignment (eq. 1).
- latency_ms_b*: time of one fan-out in milliseconds. The number after b is the batch size in queries. The value is \
the median over the repeats, after one warm-up call that is not timed. A language model fans out from query texts to \
parsed sub-queries. The diffusion fans out from the query embedding to L rows. Embedding and search are not timed. \
Methods that generate nothing have no latency.
- answer ms: wall time of a whole answer (generation, embedding, search, re-ranking) in milliseconds per query. \
Queries are answered in batches. A method is cheaper than another if it takes at most {cheaper:.0%} of its time.

A method emits fewer than k directions if an output is short or cannot be parsed. The missing directions retrieve no \
items and add nothing to vendi, which is still divided by k. Groundedness and alignment are means over the emitted \
directions. An empty output scores 0. Equation numbers are from arXiv 2603.06397.
"""


def write_report(
    path: Path,
    results: Sequence[Result],
    rows: Sequence[MetricRow],
    *,
    config: EvaluationConfig,
    reward: OARConfig,
    plots: Sequence[Path],
    seed: int,
) -> None:
    """Write the report as markdown.

    Args:
        path: The file.
        results: The measured values of every method and task.
        rows: The rows of metrics.json.
        config: The settings of the evaluation.
        reward: The weights of ``oar_reward``.
        plots: Images in the folder of the report.
        seed: The seed of the evaluation.
    """
    sections = ["# Evaluation", "\n".join(_budget(config, seed))]
    for task in (task for task in TASKS if any(row["task"] == task for row in rows)):
        sections.append(f"## {TASK_TITLES[task]}")
        sections.append("\n".join(_table(task, results, rows)))
        sections.append("\n".join(_statement(config, task, results, seed)))
        sections += compiled(config, task, results)
    sections += [f"![{plot.stem.replace('_', ' ')}]({plot.name})" for plot in plots]
    sections += ["## Methods", "\n".join(_definitions(results))]
    sections += ["## Measures", _measures(config, reward)]
    path.write_text("\n\n".join(sections), encoding="utf-8")


def figure(row: MetricRow) -> str:
    """A value with its interval, as a table cell."""
    if row["measure"].startswith("latency_ms"):
        return f"{row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def sampler_note(config: EvaluationConfig) -> str:
    """One sentence about the settings that r4t_diffusion samples with."""
    overrides = {"solver": config.solver, "num_steps": config.num_steps, "guidance": config.guidance}
    named = [f"{name} {value}" for name, value in overrides.items() if value is not None]
    if not named:
        return "r4t_diffusion samples with the settings stored with the model."
    return f"r4t_diffusion samples with {', '.join(named)} and otherwise with the settings stored with the model."


def compiled(config: EvaluationConfig, task: Task, results: Sequence[Result]) -> list[str]:
    """For the diffusion and its student: the share of r4t_folm's main measure that they keep, and their speedup."""
    rows = {result.method: result for result in results if result.task == task}
    if "r4t_folm" not in rows:
        return []
    folm, measure = rows["r4t_folm"], main_measure(task, config.k, config.n)
    reward = folm.values[measure].mean()
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
        kept = rows[name].values[measure].mean() / reward
        lines.append(f"{name} keeps {kept:.0%} of r4t_folm's {measure}{faster}.")
    return lines


def _budget(config: EvaluationConfig, seed: int) -> Iterator[str]:
    yield (
        f"Every method answers the held-out queries with {config.k} directions x {config.n} items per direction. The "
        f"seed is {seed}. Brackets hold 95% intervals over queries from {config.num_bootstrap} bootstrap resamples. "
        f"The intervals of latencies are over {config.latency_repeats} repeats."
    )
    yield (
        f"Language models sample at temperature {config.temperature:g}. mmr, dpp and greedy_reward pick from "
        f"the {config.num_candidates} nearest items of the query."
    )
    yield sampler_note(config)


def _table(task: Task, results: Sequence[Result], rows: Sequence[MetricRow]) -> Iterator[str]:
    rows = [row for row in rows if row["task"] == task]
    cells = {(row["method"], row["measure"]): figure(row) for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    measures.sort(key=lambda measure: measure.startswith("latency_ms"))
    answer_ms = {result.method: result.answer_ms for result in results if result.task == task}
    yield f"{max(row['n'] for row in rows if not row['measure'].startswith('latency_ms'))} queries."
    yield ""
    yield "| method | " + " | ".join([*measures, "answer ms"]) + " |"
    yield "|---|" + "---|" * (len(measures) + 1)
    for method in methods:
        values = [cells.get((method, measure), "-") for measure in measures]
        yield f"| {method} | " + " | ".join([*values, f"{answer_ms[method]:.1f}"]) + " |"


def _statement(config: EvaluationConfig, task: Task, results: Sequence[Result], seed: int) -> Iterator[str]:
    measure = main_measure(task, config.k, config.n)
    losses = losses_to_cheaper(results, task, measure, config.num_bootstrap, seed)
    if not losses:
        yield f"By {measure} no method loses to a cheaper one."
        return
    yield f"By {measure} these methods lose to a cheaper one:"
    yield ""
    for loss in losses:
        difference = loss.difference
        yield (
            f"- {loss.loser} loses to {loss.winner} by {difference.value:.3f} "
            f"[{difference.low:.3f}, {difference.high:.3f}]"
            + ("" if loss.is_clear else "; the interval of the paired difference contains 0, so this may be chance")
        )


def _measures(config: EvaluationConfig, reward: OARConfig) -> str:
    return MEASURES.format(k=config.k, n=config.n, budget=config.k * config.n, reward=reward, cheaper=CHEAPER_SHARE)


def _definitions(results: Sequence[Result]) -> Iterator[str]:
    measured = {result.method for result in results}
    return (f"- {name}: {method.definition}" for name, method in METHODS.items() if name in measured)
