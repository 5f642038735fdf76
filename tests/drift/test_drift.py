"""Drift: measures computed by hand in the plane, both outcomes of the rule, and a complete workspace."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from r4t_ray import cli
from r4t_ray.catalogue import Catalogue, ItemSet, RemovedIds
from r4t_ray.diffusion import SamplerConfig
from r4t_ray.drift import DriftConfig, measure
from r4t_ray.drift.compare import Situation, compare
from r4t_ray.drift.measure import CatalogueChange, asked_texts, measure_drift
from r4t_ray.drift.report import check_out, drift_lines, write_drifts
from r4t_ray.drift.verdict import Change, find_changes
from r4t_ray.errors import ConfigError, DataError, MissingArtifactError, RequestError
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.index import load_index
from r4t_ray.measures.bootstrap import Estimate

THEMES = ("theme_precision", "theme_precision_all", "theme_recall")
COMPARISONS = ("swap", "identification", "jaccard", "catalogue_share")
SMALL = {"num_bootstrap": 200}


SET_0, SET_7 = (ItemSet(set_id=f"s{row}b", title=f"The sets: {row}", description="", item_ids=()) for row in (0, 7))


def chord(degrees):
    """Euclidean distance of two unit vectors at this angle."""
    return 2 * np.sin(np.deg2rad(degrees / 2))


class TurningRetriever:
    """Emits rows at the given angles from the query, in the given order."""

    sampler = SamplerConfig(solver="top_anchors")

    def __init__(self, *offsets):
        self.offsets = torch.deg2rad(torch.tensor(offsets))

    def generate(self, z_q_BD, **_):
        radians_BL = torch.atan2(z_q_BD[:, 1], z_q_BD[:, 0])[:, None] + self.offsets
        return torch.stack([radians_BL.cos(), radians_BL.sin()], dim=-1)


@pytest.fixture
def situation(at, pool):
    """A function: a situation with ten items and three training queries. Keywords replace its fields."""

    def make(new=(), removed=(), offsets=(0.0,), **parts):
        old = range(0, 100, 10)
        train = at(1, 21, 41)
        defaults = {
            "task": "wscr",
            "retriever": TurningRetriever(*offsets),
            "then": pool(*old),
            "now": pool(*(degrees for row, degrees in enumerate(old) if row not in removed), *new),
            "removed_rows": frozenset(removed),
            "train_emb_BD": train,
            "sample_emb_BD": train,
            "validation_emb_BD": at(3, 23, 43),
            "query_emb_BD": at(3, 19, 43),
            "queries": "new",
        }
        made = defaults | parts
        none = {"sample_relevant": [frozenset()] * len(made["sample_emb_BD"]),
                "query_relevant": [frozenset()] * len(made["query_emb_BD"])}  # fmt: skip
        return Situation(**(none | made))

    return make


@pytest.fixture
def judged():
    """A function: the drift of a situation with a budget of k directions x n items."""
    return lambda situation, k=1, n=2, **settings: compare(
        DriftConfig(**settings), EvaluationConfig(k=k, n=n, **SMALL), situation, seed=0
    )


def test_measures_by_hand(situation, judged, at, pool):
    # Items lie at every 30 degrees. The two directions of a query are its angle and the angle plus 30 degrees.
    train, items = at(0, 60), pool(0, 30, 60, 90)
    found = judged(
        situation(
            offsets=(0.0, 30.0),
            then=items,
            now=items,
            train_emb_BD=train,
            sample_emb_BD=train,
            validation_emb_BD=at(10, 50),
            query_emb_BD=at(20, 40),
            sample_relevant=[{0}, {0, 1}],
            query_relevant=[{1, 3}, frozenset()],
        ),
        k=2,
        n=1,
    )
    changes = {change.measure: change for change in found.changes}
    assert list(changes) == ["groundedness", "vendi", "alignment", *THEMES, *COMPARISONS, "query_distance"]
    # Directions of training queries are items. Current ones, at 20, 50, 40 and 70 degrees, are 10 degrees from items.
    assert changes["groundedness"].then.value == pytest.approx(1.0, abs=1e-3)
    assert changes["groundedness"].now.value == pytest.approx(1 - chord(10), abs=1e-4)
    assert changes["groundedness"].difference.value == pytest.approx(-chord(10), abs=1e-3)
    # The two items are 30 degrees apart. The kernel has the eigenvalues (1 +- cos 30) / 2; Vendi / 2 follows.
    shares = np.array([1 + np.cos(np.pi / 6), 1 - np.cos(np.pi / 6)]) / 2
    vendi = np.exp(-(shares * np.log(shares)).sum()) / 2
    assert changes["vendi"].then.value == pytest.approx(vendi, abs=1e-5)
    assert changes["vendi"].now.value == pytest.approx(vendi, abs=1e-5)
    assert changes["alignment"].then.value == pytest.approx((1 + np.cos(np.pi / 6)) / 2, abs=1e-5)
    # Then, the items 0 and 1 answer the first query, and the items 2 and 3 the second. Now, 1 and 2 answer both.
    shown = {name: (changes[name].then.value, changes[name].now.value) for name in (*THEMES, *COMPARISONS)}
    assert shown == {
        "theme_precision": (0.25, 0.5),
        "theme_precision_all": (0.25, 0.5),
        "theme_recall": (0.5, 0.5),
        "swap": (1.0, 0.5),
        "identification": (1.0, 0.5),
        "jaccard": (0.0, 1.0),
        "catalogue_share": (1.0, 0.5),
    }
    assert (changes["theme_precision"].then.n, changes["theme_precision"].now.n) == (2, 1)
    # Validation queries are 10 degrees from the nearest training query, current queries 20 degrees.
    assert changes["query_distance"].then.value == pytest.approx(chord(10), abs=1e-4)
    assert changes["query_distance"].now.value == pytest.approx(chord(20), abs=1e-4)
    assert found.item_distance_then.percentile_95 == pytest.approx(0.0, abs=1e-3)
    assert found.item_distance_now.median == pytest.approx(chord(10), abs=1e-4)
    assert found.reach is None
    assert [reason.split(" by ")[0] for reason in found.reasons] == ["groundedness fell", "query_distance rose"]


def test_queries_similar_to_training_queries_are_no_drift(situation, judged):
    found = judged(situation())
    assert found.reasons == []
    assert not found.resynthesize


def test_queries_far_from_training_queries_are_drift(situation, judged, at):
    found = judged(situation(query_emb_BD=at(150, 170, 190)))  # at least 60 degrees from every item
    assert [reason.split(" by ")[0] for reason in found.reasons] == ["groundedness fell", "query_distance rose"]
    assert found.resynthesize
    assert judged(situation(query_emb_BD=at(150, 170, 190)), max_drop=2.0, max_query_rise=2.0).reasons == []


def test_constant_answers_show_drift_by_their_alignment(situation, judged, at):
    class Anchored(TurningRetriever):
        def generate(self, z_q_BD, **_):
            return torch.as_tensor(at(20)).expand(len(z_q_BD), 1, 2)

    found = judged(situation(retriever=Anchored(), query_emb_BD=at(150), validation_emb_BD=at()))
    assert [reason.split(" by ")[0] for reason in found.reasons] == ["alignment fell"]


def test_without_validation_queries_there_is_no_query_distance(situation, judged, at):
    found = judged(situation(validation_emb_BD=np.zeros((0, 2), np.float32), query_emb_BD=at(95)))
    # One current query has no other answer beside it, and no query has relevant items.
    assert [change.measure for change in found.changes] == ["groundedness", "vendi", "alignment", "catalogue_share"]


def test_new_entries_equal_to_old_ones_are_reached_as_often(situation, judged):
    # The two nearest entries of a query are an old entry and its new twin: at 0, 20 or 40 degrees.
    found = judged(situation(new=range(0, 100, 10)))
    assert (found.reach.num_new, found.reach.num_reached, found.reach.num_queries) == (10, 3, 6)
    assert found.reach.share == found.reach.old.value == pytest.approx(0.3)
    assert found.reasons == []


def test_new_entries_far_from_every_direction_are_not_reached(situation, judged):
    # The two nearest old entries of the queries at 1, 21, 41, 3, 19 and 43 degrees are the six at 0 to 50 degrees.
    found = judged(situation(new=range(200, 300, 10)))
    assert (found.reach.num_reached, found.reach.old.value) == (0, pytest.approx(0.6))
    assert found.reasons == [
        "0.0% of the new entries are reached, less than 0.5 times the share of the old entries (60.0%)"
    ]


def test_few_new_entries_or_a_lower_limit_give_no_reason(situation, judged):
    assert judged(situation(new=[200])).reasons == []  # two in five old entries are not reached either
    assert judged(situation(new=range(200, 300, 10)), min_reach=0.0).reasons == []


def test_a_new_entry_counts_once_and_only_within_the_n_nearest(situation, judged):
    near = situation(new=[2, 42])  # nearest to the queries at 3 and 43; those at 1 and 41 are as near to old entries
    assert judged(near, n=1).reach.num_reached == 2
    assert judged(situation(new=[8]), n=1).reach.num_reached == 0
    assert judged(situation(new=[8]), n=2).reach.num_reached == 1


def test_removed_entries_leave_the_current_pool_and_have_a_share_of_the_old_answers(situation, judged):
    # Then: queries at 1, 21, 41 found 0 and 10, 20 and 30, 40 and 50. Now: the nearest of 3, 19, 43 are 10, 10, 40.
    found = judged(situation(removed=[0, 2, 9]))
    assert (found.loss.num_removed, found.loss.share) == (3, pytest.approx(2 / 6))
    ground = found.changes[0]
    assert ground.then.value == pytest.approx(1 - chord(1), abs=1e-4)
    assert ground.now.value == pytest.approx(1 - (chord(7) + chord(9) + chord(3)) / 3, abs=1e-4)
    assert found.reach is None
    assert judged(situation()).loss is None


def test_removed_entries_do_not_count_in_the_reach(situation, judged):
    # The entry at 20 moved to 22, and those at 70, 80 and 90 were removed. Six old entries remain.
    found = judged(situation(removed=[2, 7, 8, 9], new=[22], offsets=(0.0,)))
    assert (found.reach.num_new, found.reach.num_reached) == (1, 1)
    # Training queries find 0, 10, 22, 30, 40 and 50. Current ones find 0, 10, 22, 40 and 50.
    assert found.reach.old.value == pytest.approx(5 / 6)
    assert found.loss.num_removed == 4


def test_new_entries_are_not_in_the_old_pool(situation, judged):
    found = judged(situation(new=[3, 19, 43]))
    ground = found.changes[0]
    assert ground.then.value == pytest.approx(1 - chord(1), abs=1e-4)
    assert ground.now.value == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("measure", "value", "low", "high", "is_reason"),
    [
        ("vendi", -0.06, -0.08, -0.01, True),
        ("vendi", -0.06, -0.13, 0.01, False),  # the interval contains 0
        ("vendi", -0.04, -0.05, -0.03, False),  # small
        ("vendi", 0.06, 0.01, 0.08, False),  # better
        ("query_distance", 0.2, 0.1, 0.3, True),
        ("query_distance", 0.2, -0.1, 0.5, False),
        ("query_distance", 0.09, 0.08, 0.1, False),
        ("query_distance", -0.2, -0.3, -0.1, False),
    ],
)
def test_a_change_is_a_reason_if_it_is_certain_large_and_bad(measure, value, low, high, is_reason):
    estimate = Estimate(value=0.5, low=0.4, high=0.6, n=9)
    difference = Estimate(value=value, low=low, high=high, n=9)
    change = Change(measure=measure, then=estimate, now=estimate, difference=difference)
    assert (change.reason(DriftConfig()) is not None) == is_reason


@pytest.mark.parametrize("measure", [*THEMES, *COMPARISONS])
def test_a_judge_is_shown_and_decides_nothing(measure):
    fall = Estimate(value=-0.9, low=-1.0, high=-0.8, n=9)
    assert Change(measure=measure, then=fall, now=fall, difference=fall).reason(DriftConfig()) is None


def test_comparisons_take_equally_many_answers(situation, judged, at):
    # Eight training queries at two places, and two current ones. Eight answers alike would identify one in four.
    train = at(*([1] * 4 + [81] * 4))
    found = judged(situation(train_emb_BD=train, sample_emb_BD=train, query_emb_BD=at(1, 81)))
    changes = {change.measure: change for change in found.changes}
    assert [changes["identification"].then.n, changes["identification"].then.value] == [2, 1.0]
    assert changes["catalogue_share"].then.value == changes["catalogue_share"].now.value == 0.4


def test_a_new_query_has_relevant_sets_if_the_catalogue_has_its_text(files):
    ws, _ = files()
    change = CatalogueChange(new=Catalogue(items=(), sets=(SET_0, SET_7)), removed=RemovedIds(sets=frozenset({"s1"})))
    found = measure.open_situation(
        DriftConfig(),
        EvaluationConfig(),
        ws,
        "oar",
        change=change,
        texts=["Theme  0", "another", "theme 6"],
        encoder=SimpleNamespace(encode=lambda texts, kinds="query": np.eye(8, dtype=np.float32)[: len(texts)]),
        seed=0,
    )
    names = [{found.now.ids[row] for row in rows} for rows in found.query_relevant]
    # Theme 0 had the sets 0 and 1. Set 1 is removed, and the new set s0b holds the core words "set 0".
    assert names == [{"s0", "s0b"}, set(), {"s6", "s7"}]
    assert [len(rows) for rows in found.sample_relevant] == [2] * 7


def test_a_change_is_now_minus_then():
    then, now = {"a": np.array([1.0, 2.0]), "b": np.array([5.0])}, {"a": np.array([4.0]), "c": np.array([0.0])}
    (change,) = find_changes(then, now, 50, seed=0)
    assert (change.measure, change.difference.value) == ("a", 2.5)
    assert (change.difference.low, change.difference.high) == (2.0, 3.0)


def test_more_directions_than_rows_are_refused(situation, judged):
    with pytest.raises(RequestError, match="1 to 1"):
        judged(situation(), k=2)


@pytest.fixture
def files(tmp_path, workspace, encode_by_hash, monkeypatch):
    """A function: a complete workspace, and a folder with files of new sets, new items and new queries."""

    class HashEncoder:
        dim = 8
        encode = staticmethod(lambda texts, kinds="query": encode_by_hash(texts))

    monkeypatch.setattr(measure, "load_encoder", lambda folder: HashEncoder())

    def make(**parts):
        sets = [{"set_id": f"n{row}", "title": f"set {row}", "item_ids": ["i0", "j1"]} for row in range(2)]
        items = [{"item_id": f"j{row}", "text": f"new item {row}"} for row in range(3)]
        for name, rows in (("sets", sets), ("items", items)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "queries.txt").write_text("theme 0\n\n  set 1  \n")
        return workspace(**parts), tmp_path

    return make


def hashes(root):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def test_a_workspace_is_compared_with_new_entries_and_does_not_change(files):
    ws, folder = files()
    before = hashes(ws.root)
    config, evaluation = DriftConfig(max_queries=4), EvaluationConfig(k=3, n=2, **SMALL)
    paths = {name: folder / f"{name}.jsonl" for name in ("items", "sets")}
    found = measure_drift(config, evaluation, ws, **paths)
    assert hashes(ws.root) == before
    assert [each.task for each in found] == ["oar", "wscr"]
    assert [each.reach.num_new for each in found] == [2, 3]
    assert [each.reach.num_queries for each in found] == [8, 8]  # at most four of each kind
    assert {each.queries for each in found} == {"held-out"}
    assert found == measure_drift(config, evaluation, ws, **paths)
    (alone,) = measure_drift(config, evaluation, ws, **paths, queries=folder / "queries.txt", task="wscr")
    assert (alone.task, alone.queries, alone.reach.num_queries) == ("wscr", "new", 4 + 2)


def test_a_changed_entry_is_removed_and_new(files):
    ws, folder = files()
    (folder / "sets.jsonl").write_text(json.dumps({"set_id": "s0", "title": "another name", "item_ids": ["i0"]}))
    (folder / "gone_sets.txt").write_text("s0\ns1\n")
    (folder / "gone_items.txt").write_text("i3\n")
    gone = {f"removed_{name}": folder / f"gone_{name}.txt" for name in ("sets", "items")}
    config, evaluation = DriftConfig(max_queries=4), EvaluationConfig(k=3, n=2, **SMALL)
    with pytest.raises(DataError, match="set_id 's0' again"):
        measure_drift(config, evaluation, ws, sets=folder / "sets.jsonl")
    oar, wscr = measure_drift(config, evaluation, ws, sets=folder / "sets.jsonl", **gone)
    assert (oar.loss.num_removed, oar.reach.num_new) == (2, 1)
    assert (wscr.loss.num_removed, wscr.reach) == (1, None)
    write_drifts([oar], folder / "drift.json")
    (written,) = json.loads((folder / "drift.json").read_text())["tasks"]
    assert written["removed_entries"] == {"num_removed": 2, "share": oar.loss.share}
    assert f"removed sets: 2; they were {oar.loss.share:.1%} of the entries" in "\n".join(drift_lines(oar))


def test_all_entries_may_be_replaced(files):
    ws, folder = files()
    (folder / "gone.txt").write_text("".join(f"{key}\n" for key in load_index(ws, "oar").ids))
    config, evaluation = DriftConfig(max_queries=4), EvaluationConfig(k=3, n=1, **SMALL)
    new = {name: folder / f"{name}.jsonl" for name in ("sets", "items")}
    oar, _ = measure_drift(config, evaluation, ws, **new, removed_sets=folder / "gone.txt")
    assert (oar.loss.share, oar.reach) == (1.0, None)


def test_with_removed_entries_both_pools_use_exhaustive_search(files):
    ws, _ = files()
    index = load_index(ws, "oar")
    changed = CatalogueChange(new=Catalogue(items=(), sets=()), removed=RemovedIds(sets=frozenset(index.ids[:1])))
    then, now, removed_rows = changed.pools(index, "oar", lambda texts: np.zeros((0, 8), np.float32))
    assert [each.shards[0].index is each.shards[0].storage for each in (then, now)] == [True, True]
    assert (then.ids, now.ids, removed_rows) == (index.ids, index.ids[1:], {0})
    unchanged = CatalogueChange(new=Catalogue(items=(), sets=()), removed=RemovedIds())
    then, now, _ = unchanged.pools(index, "oar", lambda texts: np.zeros((0, 8), np.float32))
    assert then is now is index


def test_new_entries_with_vectors_are_projected(files):
    ws, _ = files()
    index, given = load_index(ws, "oar"), np.eye(2, 8, dtype=np.float32)
    encoder = SimpleNamespace(project_given=lambda emb_MD, texts, where: -emb_MD if len(texts) == 2 else None)
    new = Catalogue(items=(), sets=(SET_0, SET_7))
    change = CatalogueChange(new=new, removed=RemovedIds(), vectors={"sets": given})
    _, now, _ = change.pools(index, "oar", encoder)
    assert now.ids == [*index.ids, SET_0.set_id, SET_7.set_id]
    assert np.array_equal(now.emb_MD[-2:], -given)


def test_the_student_is_measured_if_it_serves_the_task(files, monkeypatch):
    ws, _ = files()
    student = ws.root / "diffusion" / "oar" / "student"
    student.mkdir()
    opened = []
    monkeypatch.setattr(measure, "load_retriever", lambda folder: opened.append(folder) or TurningRetriever(0.0))
    for asked in ({}, {"num_steps": 2}):
        measure.open_situation(
            DriftConfig(),
            EvaluationConfig(**asked),
            ws,
            "oar",
            change=CatalogueChange(new=Catalogue(items=(), sets=()), removed=RemovedIds()),
            texts=["theme"],
            encoder=SimpleNamespace(encode=lambda texts, kinds="query": np.eye(8)[: len(texts)]),
            seed=0,
        )
    assert opened == [student, student.parent]


def test_json_and_printed_lines_agree(files):
    ws, folder = files()
    found = measure_drift(DriftConfig(), EvaluationConfig(k=3, n=2, **SMALL), ws, sets=folder / "sets.jsonl",
                          items=folder / "items.jsonl")  # fmt: skip
    write_drifts(found, folder / "drift.json")
    written = json.loads((folder / "drift.json").read_text())
    assert written["resynthesize"] == any(each.resynthesize for each in found)
    oar = written["tasks"][0]
    assert set(oar["measures"]) == {"groundedness", "vendi", "alignment", *THEMES, *COMPARISONS}
    assert set(written["tasks"][1]["measures"]) == {"groundedness", "vendi", "alignment", *COMPARISONS}
    assert set(oar["measures"]["vendi"]) == {"then", "now", "difference"}
    assert oar["new_entries"]["share"] == oar["new_entries"]["num_reached"] / oar["new_entries"]["num_new"]
    text = "\n".join(drift_lines(found[0]))
    assert f"{oar['new_entries']['num_reached']} of 2 reached" in text
    assert f"{oar['measures']['vendi']['now']['value']:.3f}" in text
    assert text.endswith(f"re-synthesize: {'yes' if oar['resynthesize'] else 'no'}")
    assert text.count("reason: ") == len(oar["reasons"])


def test_the_command_prints_and_writes(files, capsys, monkeypatch):
    ws, folder = files()
    settings = "catalogue: {type: cookbook}\nevaluation: {k: 3, n: 2}\ndrift: {max_queries: 3}\n"
    (folder / "experiment.yaml").write_text(settings)
    options = ["--config", folder / "experiment.yaml", "--queries", folder / "queries.txt", "--out", folder / "d.json"]
    monkeypatch.setattr("sys.argv", ["r4t", "drift", "--workspace", *map(str, [ws.root, *options])])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    out = capsys.readouterr().out
    assert out.count("re-synthesize: ") == 2
    assert out.count("no new ") == 2
    assert [each["task"] for each in json.loads((folder / "d.json").read_text())["tasks"]] == ["oar", "wscr"]


def test_missing_inputs_are_named(files, tmp_path):
    ws, folder = files(num_test=0)
    evaluation = EvaluationConfig(k=3, n=2, **SMALL)
    with pytest.raises(DataError, match=r"0 held-out.*--queries"):
        measure_drift(DriftConfig(), evaluation, ws)
    assert measure_drift(DriftConfig(), evaluation, ws, queries=folder / "queries.txt")
    with pytest.raises(MissingArtifactError, match="r4t ingest"):
        measure_drift(DriftConfig(), evaluation, type(ws)(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"--out: got .*none"):
        check_out(tmp_path / "none" / "drift.json")


def test_a_workspace_without_a_retriever_names_the_command(files):
    ws, _ = files(stages=())
    with pytest.raises(MissingArtifactError, match="r4t train-diffusion"):
        measure_drift(DriftConfig(), EvaluationConfig(), ws)


def test_a_task_without_a_retriever_is_refused(files):
    ws, _ = files(retrievers=("wscr",))
    with pytest.raises(ConfigError, match="--task: got oar; expected one of wscr"):
        measure_drift(DriftConfig(), EvaluationConfig(k=3, n=2), ws, task="oar")


def test_a_task_without_a_new_query_is_left_out(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"text": "soup", "task": "oar"}\n', encoding="utf-8")
    assert asked_texts(log, ["oar", "wscr"]) == {"oar": ["soup"]}
    assert asked_texts(None, ["oar", "wscr"]) == {"oar": None, "wscr": None}
    with pytest.raises(DataError, match=r"log\.jsonl: got no query of wscr"):
        asked_texts(log, ["wscr"])
