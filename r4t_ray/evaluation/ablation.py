"""Figure 4 of arXiv 2603.06397 on one's own data: Soft-GRPO with parts of the OAR reward, to see what holds it up."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.evaluation.evaluate import draw, open_trial, try_method
from r4t_ray.evaluation.plots import SMOOTHING_STEPS, running_mean
from r4t_ray.evaluation.settings import AblationConfig, EvaluationConfig
from r4t_ray.files import write_json
from r4t_ray.folm import FanOutModel, FolmConfig, SharedEngine, SubQueries
from r4t_ray.folm import run as train_folm
from r4t_ray.folm.learner.metrics import StepMetrics, read_metrics
from r4t_ray.rewards import OARConfig
from r4t_ray.stages import parents_of

SHARED = parents_of("folm")
FOLDER = "ablation"
COMPONENTS = ("groundedness", "vendi", "alignment", "distinct")
"""Components that are drawn: the three of eq. 1, and the share of the k sub-queries that differ."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One weighting: what training logged, the held-out means before and after, and answers of the trained model."""

    name: str
    weights: OARConfig
    rows: Sequence[StepMetrics]
    before: Mapping[str, float]
    after: Mapping[str, float]
    answers: Mapping[str, SubQueries]


def ablate(
    config: AblationConfig, folm: FolmConfig, evaluation: EvaluationConfig, workspace: Workspace, seed: int
) -> Path:
    """Train a model a variant and write ``ablation/report.md``, ``curves.png`` and ``metrics.json``; gives the report.

    Args:
        config: The variants.
        folm: How each is trained; its ``tasks`` and ``oar`` are replaced.
        evaluation: How each is measured on the held-out themes.
        workspace: Holds the finished ingest, embed and index stages; variants are kept in ``ablation/<name>``, and one
            that is unchanged is not trained again.
        seed: Of the training and of the measuring.
    """
    folder = workspace.root / FOLDER
    trained = {
        name: folm.model_copy(update={"tasks": ("oar",), "reward": folm.reward.model_copy(update={"oar": weights})})
        for name, weights in config.variants.items()
    }
    # All are trained before one is measured: the engine that measures stays in this process.
    places = {name: linked_workspace(workspace, name) for name in trained}
    for name, settings in trained.items():
        train_folm(settings, places[name], seed)
    # The variants differ in the weights of their reward alone, of which the engine knows nothing.
    engine = SharedEngine(partial(FanOutModel.load, config=folm))
    variants = [
        measure_variant(config, name, settings, engine, evaluation, places[name], seed)
        for name, settings in trained.items()
    ]
    plot_curves(variants, folder / "curves.png")
    write_json(folder / "metrics.json", [row for variant in variants for row in held_out_rows(variant)])
    report = folder / "report.md"
    report.write_text("\n".join(report_lines(variants, seed)) + "\n", encoding="utf-8")
    return report


def measure_variant(
    config: AblationConfig,
    name: str,
    trained: FolmConfig,
    engine: SharedEngine,
    evaluation: EvaluationConfig,
    place: Workspace,
    seed: int,
) -> Variant:
    """The held-out means of one trained variant before and after RL, and answers of the trained model."""
    folder = place.artifact("folm").path
    trial = open_trial(evaluation, place, "oar", engine, trained.reward.oar, seed)
    untimed = evaluation.model_copy(update={"latency_batches": ()})
    before, after = (try_method(untimed, trial, method, seed).values for method in ("zero_shot", "r4t_folm"))
    asked = draw(load_queries(place, "oar", "test"), config.num_shown, seed)
    fan_outs = engine.at(folder / "oar" / "model").fan_out(
        "oar",
        [query.text for query in asked],
        trained.k,
        num_samples=1,
        temperature=evaluation.temperature,
        seed=seed,
    )
    answers = {query.text: samples[0] for query, samples in zip(asked, fan_outs, strict=True)}
    training = read_metrics(folder / "metrics.parquet")
    return Variant(name, trained.reward.oar, training, _means(before), _means(after), answers)


def linked_workspace(workspace: Workspace, name: str) -> Workspace:
    """``ablation/<name>``, whose shared stages are links to those of the workspace."""
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
    """One panel a component, one line a variant: running means over the training steps."""
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
    """The report: a table of the held-out means, one of the training's ends, and answers of every trained model."""
    measures = [name for name in COMPONENTS if name in variants[0].after]
    lines = [
        "# Which parts of the OAR reward hold it up (arXiv 2603.06397, figure 4)",
        "",
        f"Soft-GRPO from one warm start a variant, seed {seed}. Weights are groundedness : Vendi / k : alignment.",
        "",
        "Held-out themes, before RL -> after:",
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
        f"Training samples, mean of the first -> of the last {SMOOTHING_STEPS} steps (distinct: share of the k "
        "sub-queries that differ):",
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


def _means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    return {measure: float(of_N.mean()) for measure, of_N in values.items()}


def _mean(rows: Sequence[StepMetrics], name: str) -> float:
    return float(np.mean([row.components[name] for row in rows]))
