"""The part of a diffusion retriever's model card that comes from a workspace: data, training settings, measurements.

Settings may contain paths of the user's machine. The card therefore shows only the settings that are listed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r4t_ray.artifacts import Manifest
from r4t_ray.config import recorded_settings
from r4t_ray.diffusion.model_card import NOT_MEASURED, setting_rows
from r4t_ray.diffusion.settings import DiffusionConfig
from r4t_ray.encoders.models import PACKAGE_PREFIX
from r4t_ray.evaluation.report.tables import figure, sampler_note
from r4t_ray.evaluation.results import MetricRow
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.types import Task

TRAINING_SETTINGS = ("row_matching", "prior_weight", "query_dropout")


def workspace_facts(
    task: Task, repo_id: str, manifests: Mapping[str, Manifest], rows: Sequence[MetricRow], *, student: bool = False
) -> dict[str, str]:
    """Values for ``DiffusionRetriever.generate_model_card``.

    Args:
        task: The task of the retriever.
        repo_id: Its repository.
        manifests: Manifests of the stages catalogue, encoder, pairs and diffusion, and of evaluation if it exists.
        rows: metrics.json of the evaluation; empty if there is none.
        student: True for the one-step student of the task.

    Returns:
        Placeholder of the card's template -> text.
    """
    trained = recorded_settings(DiffusionConfig, manifests["diffusion"].config)
    training = setting_rows("training", {"seed": manifests["diffusion"].seed})
    if student:
        distilled = trained.student[task]
        assert distilled is not None, "a student was trained by its settings"
        method = "r4t_student"
        sections = {"optimizer": distilled.optimizer.model_dump(), "trajectory": distilled.trajectory.model_dump()}
    else:
        method = "r4t_diffusion"
        named = {name: getattr(trained, name) for name in TRAINING_SETTINGS}
        sections = {"optimizer": trained.optimizer.model_dump(), "training": named}
    return {
        "title": f"Diffusion retriever, {'one-step student, ' if student else ''}task {task}",
        "repo_id": repo_id,
        "data": _data(task, manifests["catalogue"], manifests["encoder"], manifests["pairs"]),
        "training": "\n".join([*(setting_rows(name, values) for name, values in sections.items()), training]),
        "measured": _measured(task, method, manifests["evaluation"], rows)
        if "evaluation" in manifests
        else NOT_MEASURED,
    }


def encoder_name(config: Mapping[str, Any]) -> str:
    """The name of the encoder's model in the card: a package or a hub repository. A path is shown as "local files"."""
    if config["model"].startswith(PACKAGE_PREFIX) or config.get("model_sha256") is None:
        return f"`{config['model']}`"
    return "local files"


def pairs_made(task: Task, config: Mapping[str, Any]) -> str:
    """How the pairs of a task were made, from the recorded settings; those of older versions name no policy."""
    if task == "wscr" and config.get("reference_share", {}).get(task) == 1:
        return "one pair of each query, from the query's own set"
    num, recombined = config["num_samples"], f"1 for each of {config['num_recombined'][task]:,} recombined queries"
    if config.get("policy", {}).get(task) == "greedy":
        return f"{num} answers of the greedy optimiser for each query, {recombined}"
    sampled = f"{num} fan-outs a query at temperature {config['temperature']:g}"
    return f"{sampled}, {recombined}; selected: {config['select']['type']}"


def _data(task: Task, ingest: Manifest, embed: Manifest, pairs: Manifest) -> str:
    sha256 = embed.config.get("model_sha256")
    told = {
        "catalogue": (ingest, "items, sets and queries", f"catalogue of type {ingest.config['catalogue']['type']}"),
        "embeddings": (
            embed,
            "unit vectors",
            f"{encoder_name(embed.config)}, {f'sha256 `{sha256}`' if sha256 else 'identified by name'}, projected to "
            f"width {embed.config['dim']}",
        ),
        "pairs": (
            pairs,
            "pairs of all tasks",
            pairs_made(task, pairs.config),
        ),
    }
    lines = [
        f"| {name} | {manifest.rows:,} {of} | {made_by} | `{manifest.fingerprint}` |"
        for name, (manifest, of, made_by) in told.items()
    ]
    return "\n".join(["| data | rows | made by | sha256 of its files |", "|---|---|---|---|", *lines])


def _measured(task: Task, own: str, report: Manifest, rows: Sequence[MetricRow]) -> str:
    config = EvaluationConfig.model_validate(report.config)
    is_sampled = any((row["task"], row["method"]) == (task, "r4t_folm") for row in rows)
    compared = (own, "r4t_folm") if is_sampled else (own,)
    cells = {(row["method"], row["measure"]): row for row in rows if row["task"] == task and row["method"] in compared}
    measures = [measure for method, measure in cells if method == own]
    if not measures:
        return NOT_MEASURED
    lines = []
    for measure in measures:
        row = [cells.get((method, measure)) for method in compared]
        lines.append(" | ".join([f"| {measure}", *(figure(cell) if cell else "not measured" for cell in row)]) + " |")
    num_queries = max(row["n"] for row in cells.values() if not row["measure"].startswith("latency_ms"))
    language_model = "r4t_folm is the fan-out language model of the same workspace. " if is_sampled else ""
    note = f"{sampler_note(config)} " if own == "r4t_diffusion" else ""  # the student takes one step
    return "\n".join(
        [
            f"Measured by `r4t evaluate` on {num_queries} held-out queries with {config.k} directions x {config.n} "
            f"items per direction. Brackets hold bootstrap 95% intervals. {language_model}{note}latency_ms_b* is the "
            "time of one fan-out in milliseconds on the machine of the evaluation, without embedding and search. The "
            "number after b is the batch size in queries.",
            "",
            f"| measure | {' | '.join(compared)} |",
            "|---|" + "---|" * len(compared),
            *lines,
        ]
    )
