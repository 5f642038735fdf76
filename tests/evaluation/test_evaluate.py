"""The evaluate stage on a small workspace."""

from __future__ import annotations

import json
import shutil

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError, MissingArtifactError
from r4t_ray.evaluation import EvaluationConfig, run
from r4t_ray.evaluation.trial import draw

from .conftest import maker_of

FAST = {"k": 3, "n": 2, "num_bootstrap": 40, "latency_batches": (1, 4), "latency_repeats": 2, "num_candidates": 10}
CHEAP = ("constant", "no_fanout", "no_fanout_items", "mmr", "mmr_items", "dpp", "greedy_reward")
BY_SETS = ("popular", "popular_items", "nearest_sets", "nearest_sets_items", "soft_sets", "soft_sets_items")
CHEAP_WSCR = (*CHEAP, *BY_SETS, "ridge_items", "ease_items")
IN_BOTH_FORMATS = ("zero_shot", "best_of_5", "r4t_folm", "r4t_diffusion")
GENERATIVE = (*IN_BOTH_FORMATS, *(f"{name}_items" for name in IN_BOTH_FORMATS))
GENERATIVE_WSCR = (*GENERATIVE, "best_of_5_oracle")


def rows_of(artifact):
    return json.loads(artifact.file("metrics.json").read_text())


def quality(rows):
    return [row for row in rows if not row["measure"].startswith("latency")]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The evaluation of all methods. A test that changes its workspace takes a copy."""
    with pytest.MonkeyPatch.context() as patch:
        yield run(EvaluationConfig(**FAST), maker_of(tmp_path_factory.mktemp("evaluated"), patch)(), seed=0)


def test_every_method_and_measure_has_a_row(evaluated):
    artifact, rows = evaluated, rows_of(evaluated)
    everywhere = ["vendi", "groundedness", "alignment", "oar_reward", "swap", "identification", "jaccard"]
    everywhere.append("catalogue_share")
    themed = ["theme_precision", "theme_precision_all", "theme_recall", "specific_reward", *everywhere]
    covered = ["recall@6", "recall_seen@6", "recall_unseen@6", "hit@6", *everywhere]
    expected = {("oar", method, measure) for method in (*CHEAP, *GENERATIVE) for measure in themed}
    expected |= {("wscr", method, measure) for method in (*CHEAP_WSCR, *GENERATIVE_WSCR) for measure in covered}
    generative = {("oar", method) for method in GENERATIVE} | {("wscr", method) for method in GENERATIVE_WSCR}
    timed = {row for row in generative if row[1] in IN_BOTH_FORMATS}
    expected |= {(*row, f"latency_ms_b{b}") for row in timed for b in (1, 4)}
    assert {(row["task"], row["method"], row["measure"]) for row in rows} == expected
    assert len(rows) == len(expected) == artifact.manifest.rows
    assert all(row["low"] <= row["value"] + 1e-12 and row["value"] <= row["high"] + 1e-12 for row in rows)
    # Theme 4 has no relevant set. The references of the queries 0 to 3 hold no item of a training reference.
    num = {"theme_precision": 4, "theme_precision_all": 4, "theme_recall": 4, "recall_seen@6": 1}
    assert [row for row in quality(rows) if row["n"] != num.get(row["measure"], 5)] == []
    assert {row["n"] for row in rows if row not in quality(rows)} == {2}
    assert {"report.md", "quality_latency.png", "reward_curves.png", "plane.png"} <= set(artifact.manifest.files)
    plane = json.loads(artifact.file("plane.json").read_text())
    assert [row["method"] for row in plane["curves"]] == ["mmr"] * 9 + ["dpp"] * 7
    assert set(artifact.manifest.parents) == {"catalogue", "encoder", "index", "folm", "diffusion", "decoder"}
    report = artifact.file("report.md").read_text()
    definitions = report.partition("## Measures")[2]
    assert {row["measure"] for row in quality(rows) if row["measure"] not in definitions} == set()
    # Five held-out queries of each task: all are examples, beside the best cheap method.
    assert report.count("\n| theme ") == report.count("\n| set ") == 5
    assert "Example answers of oar" in report
    assert report.count("| query | r4t_diffusion | ") == 2


def test_measures_match_the_scripted_answers(evaluated):
    rows = {(row["task"], row["method"], row["measure"]): row["value"] for row in rows_of(evaluated)}
    # Training sets 5..11 contain items 10..25. Items 12..23 are in two sets each. Ties go to the lower row, so items
    # 12..17 are the most popular. Test sets contain only items 0..11.
    assert rows["wscr", "popular_items", "recall@6"] == 0.0
    # The trained model emits items 0, 1, 2. Set 0 contains three of them, set 1 contains one.
    assert rows["wscr", "r4t_folm", "recall@6"] >= (3 / 4 + 1 / 4) / 5
    assert rows["wscr", "r4t_folm", "groundedness"] == pytest.approx(1.0, abs=1e-3)
    assert rows["wscr", "no_fanout", "alignment"] == pytest.approx(1.0, abs=1e-5)
    assert rows["wscr", "best_of_5_oracle", "recall@6"] >= rows["wscr", "best_of_5", "recall@6"]
    assert rows["wscr", "best_of_5_oracle", "recall@6"] >= rows["wscr", "zero_shot", "recall@6"]
    assert rows["oar", "best_of_5", "specific_reward"] > rows["oar", "zero_shot", "specific_reward"]
    assert rows["oar", "greedy_reward", "specific_reward"] == max(
        value for (task, _, measure), value in rows.items() if (task, measure) == ("oar", "specific_reward")
    )


def test_answers_are_judged_by_relevance_novelty_and_each_other(workspace):
    config = EvaluationConfig(**FAST, methods=("no_fanout", "popular_items"))
    rows = {(row["task"], row["method"], row["measure"]): row for row in rows_of(run(config, workspace(), 0))}
    # popular_items gives every query the items 12..17: six of thirty. No query prefers its own answer.
    fixed = {measure: row["value"] for (_, method, measure), row in rows.items() if method == "popular_items"}
    assert fixed["swap"] == 0.5
    assert fixed["identification"] == pytest.approx(0.2)
    assert fixed["jaccard"] == pytest.approx(1.0)
    assert rows["wscr", "popular_items", "catalogue_share"] == {
        "task": "wscr", "method": "popular_items", "measure": "catalogue_share",
        "value": 0.2, "low": 0.2, "high": 0.2, "n": 5,
    }  # fmt: skip
    assert rows["oar", "no_fanout", "identification"]["value"] == 1.0
    assert rows["oar", "no_fanout", "swap"]["value"] == 1.0


def test_a_second_run_is_skipped_and_a_run_from_scratch_measures_the_same(evaluated, tmp_path):
    shutil.copytree(evaluated.path.parent, tmp_path / "ws")
    ws, config = Workspace(tmp_path / "ws"), EvaluationConfig(**FAST)
    again = run(config, ws, 0)
    assert evaluated.manifest == again.manifest
    rows = quality(rows_of(evaluated))
    (again.path / "manifest.json").unlink()
    assert quality(rows_of(run(config, ws, 0))) == rows
    assert quality(rows_of(run(config, ws, 1))) != rows


def test_methods_without_a_model_need_no_trained_stage(workspace):
    ws = workspace(stages=())
    artifact = run(EvaluationConfig(**FAST, methods=CHEAP_WSCR), ws, 0)
    assert set(artifact.manifest.parents) == {"catalogue", "encoder", "index"}
    assert {row["method"] for row in rows_of(artifact)} == set(CHEAP_WSCR)
    with pytest.raises(MissingArtifactError, match="train-diffusion"):
        run(EvaluationConfig(**FAST, methods=("r4t_diffusion",)), ws, 0)


def test_a_model_trained_for_one_task_has_rows_in_that_task(workspace):
    rows = rows_of(run(EvaluationConfig(**FAST, methods=("no_fanout", "zero_shot")), workspace(tasks=("wscr",)), 0))
    assert {(row["task"], row["method"]) for row in rows} == {
        ("oar", "no_fanout"),
        ("wscr", "no_fanout"),
        ("wscr", "zero_shot"),
    }


def test_max_queries_samples_by_the_seed_and_keeps_the_order():
    queries = list("abcdefghij")
    drawn = draw(queries, 4, seed=1)
    assert len(drawn) == 4
    assert drawn == sorted(drawn) == draw(queries, 4, seed=1)
    assert any(draw(queries, 4, seed) != drawn for seed in range(2, 6))
    assert draw(queries, None, 0) == draw(queries, 10, 0) == queries


def test_no_held_out_queries_is_an_error_that_leaves_no_report(workspace):
    ws = workspace(num_test=0)
    with pytest.raises(DataError, match="0 test queries"):
        run(EvaluationConfig(**FAST, methods=CHEAP_WSCR), ws, 0)
    assert not (ws.root / "evaluation").exists()
