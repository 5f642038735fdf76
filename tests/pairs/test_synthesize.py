"""What the actors of the graph ask and write, and the graph itself through real Ray Data, on recorded fan-outs."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as pads
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries, load_sets
from r4t_ray.config import PerTask, Resources
from r4t_ray.encoders import load_embeddings
from r4t_ray.errors import ArtifactError
from r4t_ray.folm import FanOutModel
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs import plan
from r4t_ray.pairs import synthesize as stage
from r4t_ray.pairs.files import query_seed
from r4t_ray.pairs.greedy import PickEntries
from r4t_ray.pairs.plan import planned_files, planned_queries, planned_references
from r4t_ray.pairs.references import PickReferences
from r4t_ray.pairs.select import SelectAbove, SelectBest
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.pairs.synthesize import SampleSubQueries, WritePairs, selected_rows, synthesize
from r4t_ray.types import Split

from .test_survives_kills import assert_same

FOLM = FolmConfig(k=3, num_hits=2, reward={"wscr": {"expected_share": 0.5}})
CONFIG = PairsConfig(
    policy={"oar": "folm"}, num_samples=4, num_rows=4, queries_per_file=16, num_recombined={"oar": 0, "wscr": 5}
)


def sharing(share: float) -> PairsConfig:
    return CONFIG.model_copy(update={"reference_share": PerTask(oar=share, wscr=share)})


class Echo:
    """A model whose answers name its weights and its inputs."""

    def __init__(self, model_dir: Path) -> None:
        self.load_weights(model_dir)

    def load_weights(self, model_dir: Path) -> None:
        self.weights = model_dir.parent.name

    def fan_out(
        self, task: str, queries: list[str], k: int, *, num_samples: int, temperature: float, seed: list[int]
    ) -> list[list[tuple[str, ...]]]:
        return [[(self.weights, task, query, str(own))] * num_samples for query, own in zip(queries, seed, strict=True)]


class Recorded:
    """Four fan-outs per query: two are equal but in another order, and one could not be parsed."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        assert threading.get_ident() == self.thread, "an engine would work in another thread than it was made in"
        answers = [[["salt", text], None, [text, "salt"], ["garlic base", "basil", text]] for text in row["text"]]
        return {**row, "fan_outs": [json.dumps(answer[: int(row["num_samples"])]) for answer in answers]}


@pytest.fixture(scope="module")
def workspace(indexed_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("pairs") / "workspace"
    shutil.copytree(indexed_workspace.root, root)
    workspace = Workspace(root)
    workspace.build("folm", FOLM, 0, ["catalogue", "encoder", "index"], lambda folder: 1)
    return workspace


def files_of(workspace: Workspace) -> list[dict[str, Any]]:
    """The files of language-model pairs."""
    files = [file for task in FOLM.tasks for file in planned_files(task, CONFIG, workspace, Path(), 0)]
    return [file for file in files if file["source"] == "folm"]


def test_every_query_is_sampled_from_the_model_of_its_task_with_its_seed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FanOutModel, "load", lambda model_dir, config, resources=None: Echo(model_dir))
    fan_outs = SampleSubQueries(str(workspace.root), CONFIG, seed=5)
    for task in ("wscr", "oar", "wscr"):
        row = {"file": "f", "task": task, "num_samples": 2, "query_id": ["q1", "q2"], "text": ["a", "b"]}
        answered = fan_outs(row)
        assert answered["file"] == "f"
        for query_id, text, answer in zip(["q1", "q2"], ["a", "b"], answered["fan_outs"], strict=True):
            assert json.loads(answer) == [[task, task, text, str(query_seed(query_id, 5))]] * 2


@pytest.mark.parametrize(
    ("settings", "threads"),
    [({}, 1), ({"cpus": 1.5}, 2), ({"cpus": 2}, 2), ({"cpus": 1, "threads": 3}, 3), ({"cpus": 0.5}, 1)],
)
def test_a_cpu_engine_has_one_thread_per_core_of_its_actor(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, settings: dict[str, float], threads: int
) -> None:
    asked = []

    def load(model_dir: Path, config: FolmConfig, resources: Resources) -> Echo:
        asked.append(resources.num_threads)
        return Echo(model_dir)

    monkeypatch.setattr(FanOutModel, "load", load)
    SampleSubQueries(str(workspace.root), PairsConfig.model_validate({"actors": settings}), seed=5)
    assert asked == [threads]


def test_each_source_has_its_actors_and_removed_files_are_an_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[set[str], type[Any]]] = []

    def synthesize(files: list[dict[str, Any]], *place: object, source: type[Any], source_args: object) -> None:
        asked.append(({file["source"] for file in files}, source))

    monkeypatch.setattr(stage, "synthesize", synthesize)
    config = CONFIG.model_copy(update={"policy": PairsConfig().policy})
    with pytest.raises(ArtifactError, match=r"files removed after they were written, first \w+/000000.parquet"):
        stage.run(config, workspace, 0)
    assert asked == [({"folm"}, SampleSubQueries), ({"greedy"}, PickEntries), ({"reference"}, PickReferences)]
    assert not (workspace.root / "pairs").exists()


def test_the_rule_selects_among_the_fan_outs_of_each_query() -> None:
    counts = [{0: 1, 1: 1}, {}, {0: 3, 3: 1}]
    reward_N = np.array([0.1, 0.2, 0.9, 0.3], np.float32)
    assert selected_rows(counts, reward_N, SelectBest(type="best", fraction=0.5)) == [1, 2]
    assert selected_rows(counts, reward_N, SelectAbove(type="above", reward=0.25)) == [2, 3]


def test_the_graph_writes_every_query_once_and_continues_with_missing_files(
    workspace: Workspace, tmp_path: Path
) -> None:
    """The first file of each task is there before the graph runs. The pairs are those of one actor in this process."""
    files = files_of(workspace)
    first = [next(file for file in files if file["task"] == task) for task in FOLM.tasks]
    record, write = Recorded(), WritePairs(str(workspace.root), CONFIG, str(tmp_path))
    for file in first:
        (tmp_path / file["file"]).parent.mkdir()
        write(record(file))
    before = {tmp_path / file["file"]: (tmp_path / file["file"]).stat().st_mtime_ns for file in first}
    assert 0 < len(before) < len(files)
    synthesize(files, CONFIG, workspace, tmp_path, source=Recorded, source_args=())
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")) == sorted(
        file["file"] for file in files
    )
    made = {}
    for task in FOLM.tasks:
        rows = pads.dataset(tmp_path / task, format="parquet").to_table().to_pylist()
        made |= {(row["query_id"], row["sample"]): row for row in rows}
        asked = {each.query.query_id: each for each in planned_queries(task, CONFIG, workspace, Path(), 0)}
        # Samples 0 and 2 are equal, 1 was not parsed; recombined queries get one sample.
        expected = [(name, n) for name, each in asked.items() for n in (0, 3) if n < each.num_samples]
        assert sorted((row["query_id"], row["sample"]) for row in rows) == sorted(expected)
        assert all(row["weight"] == (2 if row["sample"] == 0 else 1) for row in rows if has_four_samples(asked, row))
        check_rows(task, rows, workspace)
    assert synthesize(files, CONFIG, workspace, tmp_path, source=Recorded, source_args=()) is None
    for file in files:
        (tmp_path / file["file"]).unlink()
        write(record(file))
    tables = [pads.dataset(tmp_path / task, format="parquet").to_table() for task in FOLM.tasks]
    assert_same({(row["query_id"], row["sample"]): row for table in tables for row in table.to_pylist()}, made)


def has_four_samples(asked: dict[str, Any], row: dict[str, Any]) -> bool:
    return bool(asked[row["query_id"]].num_samples == 4)


def check_rows(task: str, rows: list[dict[str, Any]], workspace: Workspace) -> None:
    """Compare the columns of one task's rows with the stages that they come from."""
    ids, emb_MD = load_embeddings(workspace, "queries")
    emb_of = dict(zip(ids, emb_MD, strict=True))
    references = {query.query_id: query.item_ids for query in load_queries(workspace, task)}
    for row in rows:
        assert row["sub_queries"][-1 if row["sample"] == 3 else 0] in {"salt", "basil", row["sub_queries"][-1]}
        assert len(row["item_ids"]) == len(row["sub_queries"])
        target_LD = np.array(row["Z"], np.float32).reshape(4, -1)
        assert np.linalg.norm(target_LD, axis=1) == pytest.approx(1, abs=2e-3)
        if row["query_id"] in emb_of:
            assert np.abs(np.array(row["z_q"], np.float32) - emb_of[row["query_id"]]).max() < 1e-3
        parts = row["components"]
        if task == "oar":
            own = parts["specific"]
            assert 0 <= own <= parts["nearness"] * parts["vendi"] ** 0.5 + 1e-5
        elif row["query_id"] in references:
            own = 0.5 * parts["coverage"] + 0.5 * parts["expected"]
        else:
            assert parts["coverage"] is None
            own = parts["expected"]
        assert row["reward"] == pytest.approx(own, abs=1e-5)


def test_a_file_of_answers_that_cannot_be_parsed_is_written_empty(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "oar").mkdir()
    row = {**files_of(workspace)[0], "fan_outs": ["[null, null]"] * 16}
    said = WritePairs(str(workspace.root), CONFIG, str(tmp_path))(row)
    assert (said["fan_outs"], said["parsed"], said["pairs"]) == (32, 0, 0)
    assert pads.dataset(tmp_path / row["file"], format="parquet").count_rows() == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0])
def test_references_have_their_share_of_the_training_weight(workspace: Workspace, share: float) -> None:
    config = sharing(share)
    weight = {"folm": 0, "reference": 0}
    for file in planned_files("wscr", config, workspace, Path(), 0):
        weight[file["source"]] += file["num_samples"] * file["split"].count("train")
    got = weight["reference"] / sum(weight.values())
    assert got == pytest.approx(share, abs=0.03)  # the weight of a pair is a whole number
    assert all(file["source"] == "folm" for file in planned_files("oar", config, workspace, Path(), 0))


def test_a_pair_from_a_reference_has_its_items_as_rows(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "wscr").mkdir()
    file = next(file for file in planned_files("wscr", CONFIG, workspace, Path(), 0) if file["source"] == "reference")
    said = WritePairs(str(workspace.root), CONFIG, str(tmp_path))(
        PickReferences(str(workspace.root), CONFIG, seed=0)(file)
    )
    rows = pads.dataset(tmp_path / file["file"], format="parquet").to_table().to_pylist()
    ids, emb_MD = load_embeddings(workspace, "items")
    assert said["pairs"] == len(rows) == len(file["query_id"])
    for row, item_ids in zip(rows, file["item_ids"], strict=True):
        assert sorted(row["item_ids"]) == sorted(item_ids)
        assert (row["sample"], row["weight"]) == (CONFIG.num_samples, file["num_samples"])
        assert row["components"]["coverage"] == 1.0
        target_LD = np.array(row["Z"], np.float32).reshape(CONFIG.num_rows, -1)
        assert {ids[place] for place in (target_LD @ emb_MD.T).argmax(axis=1)} == set(item_ids)


def logged(split: Split, number: int, set_ids: Sequence[str]) -> Query:
    name = f"oar:log:{split}{number}"
    return Query(query_id=name, task="oar", text=f"wish {number}", item_ids=tuple(set_ids), split=split)


def test_a_logged_query_gives_pairs_of_its_relevant_sets_and_none_of_the_policy(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the pairs are relevant sets, random ones, and all of them over the samples. `select` drops none."""
    names, made = [each.set_id for each in load_sets(workspace)], load_queries(workspace, "oar", "train")
    wishes = [logged("train", number, names[5 * number : 5 * number + 5]) for number in range(3)]
    few = logged("val", 3, names[:2])
    monkeypatch.setattr(plan, "load_queries", lambda workspace, task: [*made, *wishes, few])
    config = sharing(0.5).model_copy(update={"select": SelectBest(type="best", fraction=0.01)})
    *policy, file, of_val = planned_files("oar", config, workspace, Path(), 0)
    assert {query_id for each in policy for query_id in each["query_id"]} == {query.query_id for query in made}
    assert {each["source"] for each in policy} == {"folm"}
    assert (file["source"], file["query_id"]) == ("reference", [query.query_id for query in wishes])
    assert (of_val["source"], of_val["query_id"]) == ("reference", [few.query_id])
    assert of_val["num_samples"] == CONFIG.num_samples
    # Three queries have half of the weight.
    assert file["num_samples"] == pytest.approx(len(made) * CONFIG.num_samples / 3, abs=0.5)
    (tmp_path / "oar").mkdir()
    file = {name: file[name] + of_val[name] if isinstance(file[name], list) else file[name] for name in file}
    file["num_samples"] = 20
    picked = PickReferences(str(workspace.root), config, seed=0)(file)
    assert picked == PickReferences(str(workspace.root), config, seed=0)(file)
    once = PickReferences(str(workspace.root), config, seed=0)({**file, "num_samples": 1})["fan_outs"]
    assert [len(json.loads(answer)) for answer in once] == [2, 2, 2, 1], "as many as name all"
    WritePairs(str(workspace.root), config, str(tmp_path))(picked)
    rows = pads.dataset(tmp_path / file["file"], format="parquet").to_table().to_pylist()
    ids, emb_MD = load_embeddings(workspace, "sets")
    for query in (*wishes, few):
        own = [row for row in rows if row["query_id"] == query.query_id]
        assert sum(row["weight"] for row in own) == 20
        assert len(own) == (1 if query is few else 5)  # the five runs of three in a circle of five
        assert {len(set(row["item_ids"])) for row in own} == {min(FOLM.k, len(query.item_ids))}
        assert {name for row in own for name in row["item_ids"]} == set(query.item_ids)
        target_ND = np.concatenate([np.array(row["Z"], np.float32).reshape(CONFIG.num_rows, -1) for row in own])
        assert {ids[place] for place in (target_ND @ emb_MD.T).argmax(axis=1)} == set(query.item_ids)


def test_a_few_logged_queries_do_not_outweigh_all_others() -> None:
    one, val = logged("train", 0, ["s"]), logged("val", 1, ["s"])
    assert [each.num_samples for each in planned_references([one, val], 10_000, 0.9, 2)] == [100, 2]
    assert [each.num_samples for each in planned_references([val], 10_000, 0.9, 2)] == [2]
    assert planned_references([one, val], 10_000, 0.0, 2) == []


def test_without_references_the_policy_makes_all_pairs_of_oar(workspace: Workspace) -> None:
    config = sharing(1.0)
    assert {file["source"] for file in planned_files("oar", config, workspace, Path(), 0)} == {"folm"}
