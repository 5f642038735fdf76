"""The stage on a small workspace: real index and diffusion retriever; scripted language model, encoder by hash."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import DiffusionRetriever, NetworkConfig, SamplerConfig
from r4t_ray.embedding_table import embedding_table
from r4t_ray.errors import DataError, MissingArtifactError
from r4t_ray.evaluation import EvaluationConfig, evaluate, run
from r4t_ray.folm import FanOutModel, FolmConfig
from r4t_ray.index import IndexConfig
from r4t_ray.index import run as build_index

DIM, NUM_SETS, NUM_ITEMS = 8, 12, 30
FAST = {"k": 3, "n": 2, "num_bootstrap": 40, "latency_batches": (1, 4), "latency_repeats": 2, "num_candidates": 10}
CHEAP = ("no_fanout", "no_fanout_mmr", "greedy_reward")
CHEAP_WSCR = (*CHEAP, "popular", "popular_items", "nearest_sets", "nearest_sets_items")
GENERATIVE = ("zero_shot", "best_of_5", "r4t_folm", "r4t_diffusion")
GENERATIVE_WSCR = (*GENERATIVE, "best_of_5_oracle")


def encode(texts):
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM) for text in texts]
    emb = np.array(rows, dtype=np.float32)
    return emb / np.linalg.norm(emb, axis=1, keepdims=True)


class HashEncoder:
    dim = DIM

    def encode(self, texts):
        return encode(texts)


class WordyModel:
    """Sub-queries are the query's words and a number; the trained weights name pool items themselves."""

    def __init__(self, folder):
        self.trained = folder.name == "model"

    def load_weights(self, folder):
        self.trained = folder.name == "model"

    def fan_out(self, task, queries, k, *, num_samples, temperature, seed):
        kind = "item" if task == "wscr" else "set"
        return [
            [
                tuple(f"{kind} {(i + sample) % 9}" if self.trained else f"{text} {i} {sample + seed}" for i in range(k))
                for sample in range(num_samples)
            ]
            for text in queries
        ]


def write_ingest(folder, num_test):
    split = ["test"] * num_test + ["train"] * (NUM_SETS - num_test)
    items = [f"i{row}" for row in range(NUM_ITEMS)]
    members = [[items[(2 * row + step) % NUM_ITEMS] for step in range(4)] for row in range(NUM_SETS)]
    columns = {"item_id": items, "text": [f"item {row}" for row in range(NUM_ITEMS)], "attributes": ["{}"] * NUM_ITEMS}
    pq.write_table(pa.table(columns), folder / "items.parquet")
    names = [f"s{row}" for row in range(NUM_SETS)]
    titles = [f"set {row}" for row in range(NUM_SETS)]
    columns = {"set_id": names, "title": titles, "description": [""] * NUM_SETS, "item_ids": members}
    pq.write_table(pa.table(columns), folder / "sets.parquet")
    columns = {
        "query_id": [f"{task}-{row}" for task in ("oar", "wscr") for row in range(NUM_SETS)],
        "task": ["oar"] * NUM_SETS + ["wscr"] * NUM_SETS,
        "text": [f"theme {row}" for row in range(NUM_SETS)] + titles,
        "item_ids": pa.array([[]] * NUM_SETS + members, pa.list_(pa.string())),
        "split": split * 2,
    }
    pq.write_table(pa.table(columns), folder / "queries.parquet")
    return NUM_SETS


def write_embed(ingest, folder):
    for kind, key, text in (("items", "item_id", "text"), ("sets", "set_id", "title"), ("queries", "query_id", "text")):
        table = pq.read_table(ingest / f"{kind}.parquet")
        emb_MD = encode(table[text].to_pylist())
        pq.write_table(embedding_table(table[key].to_pylist(), emb_MD), folder / f"{kind}.parquet")
    return 1


def write_folm(folder):
    for model in (folder / task / name for task in ("oar", "wscr") for name in ("model", "warm_start")):
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
    steps = {"step": [0, 1, 0, 1], "task": ["oar", "oar", "wscr", "wscr"], "reward": [0.1, 0.2, 0.1, 0.3]}
    pq.write_table(pa.table(steps), folder / "metrics.parquet")
    return 2


def write_diffusion(folder):
    network = NetworkConfig(num_rows=4, dim=DIM, hidden=16, mlp=16, num_heads=2, num_layers=1)
    for task in ("oar", "wscr"):
        retriever = DiffusionRetriever(network=network, sampler=SamplerConfig(solver="heun", num_steps=2))
        retriever.save_pretrained(folder / task)
    return 2


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A function: a workspace with every stage before the report."""
    monkeypatch.setattr(evaluate, "load_encoder", lambda folder: HashEncoder())
    monkeypatch.setattr(FanOutModel, "load", lambda folder, config: WordyModel(folder))

    def make(num_test=5, tasks=("oar", "wscr"), stages=("folm", "diffusion")):
        ws, settings = Workspace(tmp_path / "ws"), IndexConfig(type="flat")
        ws.build("ingest", settings, 0, [], lambda folder: write_ingest(folder, num_test))
        ws.build("embed", settings, 0, ["ingest"], lambda folder: write_embed(ws.root / "ingest", folder))
        build_index(settings, ws, 0)
        if "folm" in stages:
            ws.build("folm", FolmConfig(tasks=tasks), 0, ["index"], write_folm)
        if "diffusion" in stages:
            ws.build("diffusion", settings, 0, ["index"], write_diffusion)
        return ws

    return make


def rows_of(artifact):
    return json.loads(artifact.file("metrics.json").read_text())


def quality(rows):
    return [row for row in rows if not row["measure"].startswith("latency")]


def test_every_method_and_measure_has_its_row(workspace):
    artifact = run(EvaluationConfig(**FAST), workspace(), seed=0)
    rows = rows_of(artifact)
    geometric = ["vendi", "groundedness", "alignment", "oar_reward"]
    covered = ["recall@6", "hit@6", *geometric]
    expected = {("oar", method, measure) for method in (*CHEAP, *GENERATIVE) for measure in geometric}
    expected |= {("wscr", method, measure) for method in (*CHEAP_WSCR, *GENERATIVE_WSCR) for measure in covered}
    generative = {("oar", method) for method in GENERATIVE} | {("wscr", method) for method in GENERATIVE_WSCR}
    timed = generative - {("wscr", "best_of_5_oracle")}
    expected |= {(*row, f"latency_ms_b{b}") for row in timed for b in (1, 4)}
    assert {(row["task"], row["method"], row["measure"]) for row in rows} == expected
    assert len(rows) == len(expected) == artifact.manifest.rows
    assert all(row["low"] <= row["value"] + 1e-12 and row["value"] <= row["high"] + 1e-12 for row in rows)
    assert {row["n"] for row in quality(rows)} == {5}
    assert {row["n"] for row in rows if row not in quality(rows)} == {2}
    assert {"report.md", "quality_latency.png", "reward_curves.png"} <= set(artifact.manifest.files)
    assert set(artifact.manifest.parents) == {"ingest", "embed", "index", "folm", "diffusion"}


def test_figures_are_what_the_answers_are_worth(workspace):
    rows = {
        (row["task"], row["method"], row["measure"]): row["value"]
        for row in rows_of(run(EvaluationConfig(**FAST), workspace(), 0))
    }
    # Training sets 5..11 hold items 10..25; each of 12..23 is in two of them, so by row the most popular are 12..17,
    # of which the test sets' items 0..11 hold none.
    assert rows["wscr", "popular_items", "recall@6"] == 0.0
    # The trained model names items 0, 1, 2, which are in the sets 0 (three of four) and 1 (one of four).
    assert rows["wscr", "r4t_folm", "recall@6"] >= (3 / 4 + 1 / 4) / 5
    assert rows["wscr", "r4t_folm", "groundedness"] == pytest.approx(1.0, abs=1e-3)
    assert rows["wscr", "no_fanout", "alignment"] == pytest.approx(1.0, abs=1e-5)
    assert rows["wscr", "best_of_5_oracle", "recall@6"] >= rows["wscr", "best_of_5", "recall@6"]
    assert rows["wscr", "best_of_5_oracle", "recall@6"] >= rows["wscr", "zero_shot", "recall@6"]
    assert rows["oar", "best_of_5", "oar_reward"] > rows["oar", "zero_shot", "oar_reward"]
    assert rows["oar", "greedy_reward", "oar_reward"] == max(
        value for (task, _, measure), value in rows.items() if (task, measure) == ("oar", "oar_reward")
    )


def test_a_second_run_is_skipped_and_a_third_from_scratch_measures_the_same(workspace):
    ws, config = workspace(), EvaluationConfig(**FAST)
    first = run(config, ws, 0)
    again = run(config, ws, 0)
    assert first.manifest == again.manifest
    rows = quality(rows_of(first))
    (first.path / "manifest.json").unlink()
    assert quality(rows_of(run(config, ws, 0))) == rows
    assert quality(rows_of(run(config, ws, 1))) != rows


def test_without_model_rows_no_model_is_needed(workspace):
    ws = workspace(stages=())
    artifact = run(EvaluationConfig(**FAST, methods=CHEAP_WSCR), ws, 0)
    assert set(artifact.manifest.parents) == {"ingest", "embed", "index"}
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


def test_max_queries_draws_by_the_seed_and_keeps_order():
    queries = list("abcdefghij")
    drawn = evaluate.draw(queries, 4, seed=1)
    assert len(drawn) == 4
    assert drawn == sorted(drawn) == evaluate.draw(queries, 4, seed=1)
    assert any(evaluate.draw(queries, 4, seed) != drawn for seed in range(2, 6))
    assert evaluate.draw(queries, None, 0) == evaluate.draw(queries, 10, 0) == queries


def test_no_held_out_queries_is_an_error_that_leaves_no_report(workspace):
    ws = workspace(num_test=0)
    with pytest.raises(DataError, match="0 test queries"):
        run(EvaluationConfig(**FAST, methods=CHEAP_WSCR), ws, 0)
    assert not (ws.root / "report").exists()
