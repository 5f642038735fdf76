"""metrics.json, report.md, plots and the table over seeds, from hand-made results."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError
from r4t_ray.evaluation import EvaluationConfig, seeds
from r4t_ray.evaluation.method_answer import round_robin_answer
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.report import write_report
from r4t_ray.evaluation.report.examples import Asked
from r4t_ray.evaluation.report.plots import colour_of, plot_quality_latency, plot_rewards, running_mean
from r4t_ray.evaluation.report.tables import compiled, counts_line, further_table, losses_line
from r4t_ray.evaluation.results import Result, losses_to_cheaper, metric_rows
from r4t_ray.rewards import OARConfig

CONFIG = EvaluationConfig(k=2, n=2, num_bootstrap=50)


def result(task, method, quality, answer_ms, latency=None, num=4):
    """A result whose main measure is ``quality``: one number for every query, or one value per query."""
    values = np.full(num, quality) if np.isscalar(quality) else np.array(quality, dtype=np.float64)
    measure = "oar_reward" if task == "oar" else "recall@4"
    times = {f"latency_ms_b{batch}": np.array(ms, dtype=np.float64) for batch, ms in (latency or {}).items()}
    quality_of = {measure: values, "vendi": values / 2}
    return Result(task=task, method=method, values=quality_of, latency=times, answer_ms=answer_ms)


@pytest.fixture
def results():
    return [
        result("wscr", "r4t_folm", 0.30, 45.0, {8: [200.0, 100.0, 120.0]}),
        result("wscr", "popular", 0.10, 1.0),
        result("wscr", "r4t_diffusion", 0.27, 5.0, {8: [4.0, 5.0, 6.0]}),
        result("wscr", "zero_shot", [0.4, 0.1, 0.2, 0.3], 49.0, {8: [120.0]}),
        result("oar", "no_fanout", 0.5, 1.0),
        replace(result("oar", "greedy_reward", 0.9, 30.0), tuned=0.5),
    ]


def test_rows_are_ordered_and_carry_value_interval_and_count(results):
    rows = metric_rows(results, 50, seed=0)
    assert set(rows[0]) == {"task", "method", "measure", "value", "low", "high", "n"}
    assert list(dict.fromkeys((row["task"], row["method"]) for row in rows)) == [
        ("oar", "no_fanout"),
        ("oar", "greedy_reward"),
        ("wscr", "popular"),
        ("wscr", "zero_shot"),
        ("wscr", "r4t_folm"),
        ("wscr", "r4t_diffusion"),
    ]
    found = {(row["task"], row["method"], row["measure"]): row for row in rows}
    assert found["wscr", "r4t_folm", "latency_ms_b8"]["value"] == 120.0
    assert found["wscr", "r4t_folm", "latency_ms_b8"]["n"] == 3
    zero_shot = found["wscr", "zero_shot", "recall@4"]
    assert zero_shot["value"] == pytest.approx(0.25)
    assert zero_shot["low"] < 0.25 < zero_shot["high"]
    assert zero_shot["n"] == 4
    assert ("wscr", "popular", "latency_ms_b8") not in found


def test_rows_count_the_queries_with_a_value_and_totals_have_no_interval():
    values = {"theme_precision": np.array([1.0, np.nan, 0.0]), "theme_recall": np.full(3, np.nan)}
    one = Result(task="oar", method="no_fanout", values=values, latency={},
                 answer_ms=1.0, totals={"catalogue_share": 0.4})  # fmt: skip
    rows = {row["measure"]: row for row in metric_rows([one], 50, seed=0)}
    assert set(rows) == {"theme_precision", "catalogue_share"}
    assert (rows["theme_precision"]["value"], rows["theme_precision"]["n"]) == (0.5, 2)
    assert [rows["catalogue_share"][name] for name in ("value", "low", "high", "n")] == [0.4, 0.4, 0.4, 3]
    assert one.mean("theme_precision") == 0.5
    assert np.isnan(one.mean("theme_recall"))


def test_a_method_loses_to_a_cheaper_method_with_a_higher_score(results):
    losses = losses_to_cheaper(results, "wscr", "recall@4", 200, seed=0)
    # r4t_folm scores higher than zero_shot, but its time is too similar to count as cheaper.
    assert [(loss.loser, loss.winner) for loss in losses] == [("zero_shot", "r4t_diffusion")]
    assert losses[0].difference.value == pytest.approx(0.02)
    assert not losses[0].is_clear
    assert losses_to_cheaper(results, "oar", "oar_reward", 200, seed=0) == []
    worse = [*results, result("wscr", "best_of_5", 0.05, 99.0)]
    (loss,) = [one for one in losses_to_cheaper(worse, "wscr", "recall@4", 200, seed=0) if one.loser == "best_of_5"]
    assert loss.winner == "r4t_folm"
    assert loss.is_clear


def test_report_holds_tables_tests_examples_and_definitions(results, tmp_path):
    rows = metric_rows(results, CONFIG.num_bootstrap, 0)
    plots = plot_quality_latency(results, 2, 2, tmp_path)
    answered = round_robin_answer(np.array([1, 0]), np.eye(2, dtype=np.float32), 2, 2)
    results = [replace(result, answers=[answered] * 4) for result in results]
    asked = Asked(queries=["a", "b", "c", "d"], wanted=[{0}, {1}, set(), set()], texts=["salt", "oil"])
    path, reward = tmp_path / "report.md", OARConfig(w_div=0.3)
    write_report(path, results, rows, config=CONFIG, reward=reward, plots=plots, asked={"wscr": asked}, seed=0)
    text = path.read_text()
    assert "2 directions with 2 items each (2 x 2)" in text
    assert "| popular | 2 x 2 | 0.100 [0.100, 0.100] |" in text
    assert "| **r4t_folm** | 2 x 2 | 0.300 [0.300, 0.300] |" in text
    assert "| **r4t_folm** | 0.150 | 120.0 | 45.0 |" in text
    assert "| popular | 0.050 | - | 1.0 |" in text
    served = "- **2 x 2.** By recall@4, r4t_diffusion wins by 0.170 [0.170, 0.170] over popular, the best cheap method."
    assert served in text
    assert "| r4t_diffusion | 2 x 2 | recall@4 | popular | +0.170 [+0.170, +0.170] | above the cheap method |" in text
    assert "By recall@4, no method clearly loses to a cheaper one" in text  # zero_shot's loss may be chance
    assert "| query | r4t_diffusion | popular |" in text
    assert "| a | oil; **salt** | oil; **salt** |" in text
    order = ["## wscr", "| method | answer |", "wins by", "paired by query", "Further", "Example", "## Methods"]
    ends = text[text.index("## wscr") :]
    assert sorted(order, key=ends.index) == order
    assert "0.6 groundedness + 0.3 vendi + 0.2 alignment" in text
    assert "r4t_diffusion samples with the settings stored with the model." in text
    assert "By oar_reward, no method clearly loses to a cheaper one" in text
    assert "r4t_diffusion keeps 90% of r4t_folm's recall@4; its fan-out is 24 times as fast at batch 8." in text
    assert "![quality latency](quality_latency.png)" in text
    assert text.count("\n- no_fanout: The k*n nearest items of the query.") == 1
    assert "- mmr:" not in text  # not measured here
    assert "Settings that were tuned on validation queries: oar greedy_reward 0.5." in text


def test_a_clear_loss_is_named_and_a_list_does_not_compete_with_directions(results):
    worse = [*results, result("wscr", "best_of_5", 0.05, 99.0), result("wscr", "popular_items", 0.9, 1.0)]
    line = losses_line("recall@4", losses_to_cheaper(worse, "wscr", "recall@4", 200, seed=0))
    assert line.endswith("cheaper one of the same format: best_of_5 (to r4t_folm, by 0.250).")


def test_a_measure_without_a_value_for_every_query_says_for_how_many():
    counts = {"recall@4": 5, "recall_unseen@4": 2, "hit@4": 1, "latency_ms_b1": 9}
    rows = [row("popular", 0.1, measure, "wscr") | {"n": n} for measure, n in counts.items()]
    expected = "5 held-out queries. recall_unseen@4 has a value for 2 of them."
    assert counts_line(rows, ["recall@4", "recall_unseen@4"]) == expected
    timed = [Result(task="wscr", method="popular", values={}, latency={}, answer_ms=2.0)]
    rows = [*rows, row("popular", 0.7, "oar_reward", "wscr")]
    assert next(further_table(rows, timed, ["recall@4"])) == (
        "| method | recall_unseen@4 | hit@4 | latency_ms_b1 | answer ms |"
    )


def test_definitions_say_how_best_of_5_selects_on_wscr():
    assert "the query's reference is not known" in METHODS["best_of_5"].definition
    assert "an upper bound that sees the answer" in METHODS["best_of_5_oracle"].definition


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_defined(method):
    assert len(METHODS[method].definition) > 40


def test_share_of_the_reward_needs_a_measured_retriever_and_a_positive_reward(results):
    assert compiled("oar_reward", [one for one in results if one.task == "oar"]) == []
    none = [result("oar", "r4t_folm", 0.0, 1.0), result("oar", "r4t_diffusion", 0.1, 1.0)]
    assert "is 0.000, so the share that r4t_diffusion keeps is undefined" in compiled("oar_reward", none)[0]


def test_reward_curves_show_the_logged_components(tmp_path):
    table = pa.table(
        {
            "step": [0, 0, 1, 1],
            "task": ["oar", "wscr", "oar", "wscr"],
            "reward": [0.1, 0.2, 0.3, 0.4],
            "component/coverage": [None, 0.2, None, 0.4],
            "note": ["a", "b", "c", "d"],
        }
    )
    pq.write_table(table, tmp_path / "metrics.parquet")
    (path,) = plot_rewards(tmp_path / "metrics.parquet", tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert plot_rewards(tmp_path / "absent.parquet", tmp_path) == []


def test_every_method_has_its_own_colour():
    assert len({colour_of(method) for method in METHODS}) == len(METHODS)


def test_running_mean_of_a_constant_is_constant():
    assert running_mean(np.full(7, 2.5), 3) == pytest.approx(2.5)


def row(method, value, measure="vendi", task="oar"):
    return {"task": task, "method": method, "measure": measure, "value": value, "low": 0.0, "high": 1.0, "n": 3}


def test_seeds_give_mean_least_and_greatest():
    runs = [[row("no_fanout", value), row("zero_shot", value / 2)] for value in (0.2, 0.3, 0.7)]
    spread = seeds.summarise(runs)["oar", "no_fanout", "vendi"]
    assert (spread.mean, spread.least, spread.greatest, spread.num_seeds) == (pytest.approx(0.4), 0.2, 0.7, 3)
    lines = list(seeds.markdown_tables(seeds.summarise(runs)))
    assert lines[0] == "oar, mean [least, greatest] over 3 seeds"
    assert "| no_fanout | 0.400 [0.200, 0.700] |" in lines


def test_seeds_with_different_measures_are_refused():
    with pytest.raises(DataError, match="workspace 2"):
        seeds.summarise([[row("no_fanout", 0.2)], [row("mmr", 0.2)]])
    with pytest.raises(DataError, match="at least one"):
        seeds.summarise([])


def test_seeds_command_reads_verified_reports(tmp_path, capsys):
    for number in range(2):

        def make(folder, value=number):
            (folder / "metrics.json").write_text(json.dumps([row("popular", float(value), "recall@100", "wscr")]))
            return 1

        Workspace(tmp_path / str(number)).build("evaluation", CONFIG, number, [], make)
    paths = [str(tmp_path / "0"), str(tmp_path / "1")]
    assert seeds.main(paths) == 0
    assert "| popular | 0.500 [0.000, 1.000] |" in capsys.readouterr().out
    (tmp_path / "1" / "evaluation" / "metrics.json").write_text("[]")
    assert seeds.main(paths) == 2
    assert "sha256" in capsys.readouterr().err
