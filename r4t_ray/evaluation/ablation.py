"""Figure 4 of arXiv 2603.06397 on your data: one model per weighting of the OAR (open-ended abstract retrieval) reward.

The report shows which component of the reward keeps a model that Soft-GRPO trains grounded, diverse and on topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.evaluation.evaluate import try_method
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.report.plots import SMOOTHING_STEPS, running_mean
from r4t_ray.evaluation.settings import AblationConfig, EvaluationConfig
from r4t_ray.evaluation.trial import draw, load_policy, open_trial
from r4t_ray.files import write_json
from r4t_ray.folm import FolmConfig, SharedEngine, SubQueries
from r4t_ray.folm import run as train_folm
from r4t_ray.folm.learner.metrics import StepMetrics, read_metrics
from r4t_ray.measures.bootstrap import known_means
from r4t_ray.rewards import OARConfig, weights_of_eq_1
from r4t_ray.stages import parents_of

SHARED = parents_of("folm")
FOLDER = "ablation"
COMPONENTS = ("groundedness", "vendi", "alignment", "distinct")
"""Components in the plot and the tables: the three of eq. 1, and the share of distinct sub-queries among the k."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One weighting of the reward and its trained model.

    Attributes:
        name: The name in the settings.
        weights: Weights of the reward.
        rows: Logged training steps.
        before: Held-out mean of each measure before reinforcement learning (RL).
        after: Held-out mean of each measure after RL.
        answers: Query -> sub-queries of the trained model.
    """

    name: str
    weights: OARConfig
    rows: Sequence[StepMetrics]
    before: Mapping[str, float]
    after: Mapping[str, float]
    answers: Mapping[str, SubQueries]


def ablate(
    config: AblationConfig, folm: FolmConfig, evaluation: EvaluationConfig, workspace: Workspace, seed: int
) -> Path:
    """Train a model for each variant and write ``ablation/report.md``, ``curves.png`` and ``metrics.json``.

    Args:
        config: The variants.
        folm: Training settings of each fan-out language model (FOLM). ``tasks`` and ``reward.oar`` are replaced.
        evaluation: Settings of the measurement on the held-out themes.
        workspace: Holds the finished catalogue, encoder and index stages. Variants are stored in ``ablation/<name>``.
            An unchanged variant is not trained again.
        seed: Seed of training and evaluation.

    Returns:
        The path of the report.
    """
    folder = workspace.root / FOLDER
    trained = {
        name: folm.model_copy(update={"tasks": ("oar",), "reward": folm.reward.model_copy(update={"oar": weights})})
        for name, weights in config.variants.items()
    }
    # All training comes before the first measurement, because the engine of the measurement stays in this process.
    places = {name: linked_workspace(workspace, name) for name in trained}
    for name, settings in trained.items():
        train_folm(settings, places[name], seed)
    # One engine serves all variants: they differ only in the weights of the reward, which the engine does not read.
    engine = SharedEngine(partial(load_policy, folm=folm))
    variants = [
        measure_variant(config, evaluation, places[name], name=name, trained=settings, engine=engine, seed=seed)
        for name, settings in trained.items()
    ]
    plot_curves(variants, folder / "curves.png")
    write_json(folder / "metrics.json", [row for variant in variants for row in held_out_rows(variant)])
    report = folder / "report.md"
    report.write_text("\n".join(report_lines(variants, seed)) + "\n", encoding="utf-8")
    return report


def measure_variant(
    config: AblationConfig,
    evaluation: EvaluationConfig,
    place: Workspace,
    *,
    name: str,
    trained: FolmConfig,
    engine: SharedEngine,
    seed: int,
) -> Variant:
    """Held-out means of one trained variant before and after RL, and sub-queries of the trained model."""
    folder = place.artifact("folm").path
    trial = open_trial(evaluation, place, "oar", engine=engine, reward=trained.reward.oar, seed=seed)
    untimed = evaluation.model_copy(update={"latency_batches": ()})
    before, after = (
        known_means(try_method(untimed, trial, METHODS[method], seed).values) for method in ("zero_shot", "r4t_folm")
    )
    shown = draw(load_queries(place, "oar", "test"), config.num_shown, seed)
    outputs = engine.at(folder / "oar" / "model").fan_out(
        "oar",
        [query.text for query in shown],
        trained.k,
        num_samples=1,
        temperature=evaluation.temperature,
        seed=seed,
    )
    answers = {query.text: samples[0] for query, samples in zip(shown, outputs, strict=True)}
    rows = read_metrics(folder / "metrics.parquet")
    return Variant(
        name=name, weights=weights_of_eq_1(trained.reward.oar), rows=rows, before=before, after=after, answers=answers
    )


def linked_workspace(workspace: Workspace, name: str) -> Workspace:
    """The workspace ``ablation/<name>``. Its shared stages are links to the stages of ``workspace``."""
    place = workspace.root / FOLDER / name
    place.mkdir(parents=True, exist_ok=True)
    for stage in SHARED:
        link = place / stage
        if not link.is_symlink():
            link.symlink_to(Path("..") / ".." / stage, target_is_directory=True)
    return Workspace(place)


def held_out_rows(variant: Variant) -> list[dict[str, Any]]:
    """Rows of metrics.json: variant, measure, and its held-out mean before and after RL."""
    return [
        {"variant": variant.name, "measure": measure, "before": variant.before[measure], "after": value}
        for measure, value in variant.after.items()
    ]


def plot_curves(variants: Sequence[Variant], path: Path) -> None:
    """Plot running means over the training steps: one panel per component, one line per variant."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(COMPONENTS), 3.6), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(COMPONENTS)), COMPONENTS, strict=True):
        for variant in variants:
            values = np.array([row.components[name] for row in variant.rows], dtype=np.float64)
            panel.plot(running_mean(values, SMOOTHING_STEPS), label=variant.name)
        panel.set(title=name, xlabel="step")
    figure.axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def report_lines(variants: Sequence[Variant], seed: int) -> list[str]:
    """Lines of the report: held-out means, means of the first and last training steps, and sub-queries."""
    measures = [name for name in COMPONENTS if name in variants[0].after]
    lines = [
        "# Parts of the OAR reward (arXiv 2603.06397, figure 4)",
        "",
        f"Each variant is one language model. Soft-GRPO trains it from the same warm start with seed {seed}. The "
        "weights are groundedness : Vendi / k : alignment.",
        "",
        "Means over held-out themes, before -> after reinforcement learning:",
        "",
        "| variant | weights | " + " | ".join(measures) + " |",
        "|---|---|" + "---|" * len(measures),
    ]
    for each in variants:
        weights = f"{each.weights.w_ground:g} : {each.weights.w_div:g} : {each.weights.w_align:g}"
        cells = [f"{each.before[name]:.3f} -> {each.after[name]:.3f}" for name in measures]
        lines.append(f"| {each.name} | {weights} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Means over training samples, first -> last {SMOOTHING_STEPS} steps. distinct is the share of distinct "
        "sub-queries among the k:",
        "",
        "| variant | " + " | ".join(COMPONENTS) + " |",
        "|---|" + "---|" * len(COMPONENTS),
    ]
    for each in variants:
        cells = [
            f"{_mean(each.rows[:SMOOTHING_STEPS], n):.3f} -> {_mean(each.rows[-SMOOTHING_STEPS:], n):.3f}"
            for n in COMPONENTS
        ]
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    lines += ["", "![components over steps](curves.png)", "", "## Answers of the trained models"]
    for each in variants:
        lines += ["", f"### {each.name}", ""]
        lines += [
            f"- {query}: {'; '.join(answer) if answer else '(cannot be parsed)'}"
            for query, answer in each.answers.items()
        ]
    return lines


def _mean(rows: Sequence[StepMetrics], name: str) -> float:
    return float(np.mean([row.components[name] for row in rows]))
