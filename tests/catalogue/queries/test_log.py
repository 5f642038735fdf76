"""Query logs: reading, faults, relevant entries, splits, and their union with made-up queries."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, Item, ItemSet, Query, SetsConfig, load_queries, load_relevance, run
from r4t_ray.catalogue.queries.log import LogLine, read_log, splits_of
from r4t_ray.catalogue.queries.logged import Logged, logged_queries, with_log
from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.errors import DataError
from r4t_ray.types import SPLITS, TASKS, Split, Task

CATALOGUE = Catalogue(
    items=tuple(Item(item_id=key, text=f"thing {key}") for key in "abcd"),
    sets=tuple(
        ItemSet(set_id=f"s{n}", title=f"set {n}", description="", item_ids=tuple(keys))
        for n, keys in enumerate(("abd", "bcd", "abcd", "d"))
    ),
)


def lines_of(tmp_path: Path, *records: dict[str, Any]) -> list[LogLine]:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return read_log(path, CATALOGUE)


def logged(tmp_path: Path, *records: dict[str, Any]) -> Logged:
    return logged_queries(lines_of(tmp_path, *records), CATALOGUE, staples={"d"})


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no text": ({"query": "x"}, r"log\.jsonl:2: got no field 'text'"),
    "empty text": ({"text": " "}, r"log\.jsonl:2: got an empty text"),
    "unknown item": ({"text": "x", "item_ids": ["a", "z"]}, r"log\.jsonl:2: got item 'z', which no item"),
    "unknown set": ({"text": "x", "set_ids": ["a"]}, r"log\.jsonl:2: got set 'a', which no set"),
    "ids as text": ({"text": "x", "item_ids": "a"}, r"log\.jsonl:2: got item_ids = 'a'"),
    "repeated id": ({"text": "x", "query_id": 1}, r"log\.jsonl:2: got query_id '1' again, after .*log\.jsonl:1"),
    "empty id": ({"text": "x", "query_id": ""}, r"log\.jsonl:2: got an empty query_id"),
    "unknown task": ({"text": "x", "task": "search"}, r"log\.jsonl:2: got task = 'search'; expected one of oar, wscr"),
    "unknown split": ({"text": "x", "split": "dev"}, r"log\.jsonl:2: got split = 'dev'; expected one of train, val"),
    "split as list": ({"text": "x", "split": ["val"]}, r"log\.jsonl:2: got split = \['val'\]"),
    "two splits": (
        {"text": "Lamp!", "split": "val"},
        r"log\.jsonl:2: got split 'val' of a text that .*:1 puts in 'test'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_file_and_line(tmp_path: Path, fault: str) -> None:
    record, message = FAULTS[fault]
    with pytest.raises(DataError, match=message):
        lines_of(tmp_path, {"text": "lamp", "query_id": "1", "split": "test"}, record)


def test_relevant_entries_of_both_tasks(tmp_path: Path) -> None:
    found = logged(
        tmp_path,
        {"text": "both", "item_ids": ["a", "d"], "set_ids": ["s1"]},
        {"text": "items", "item_ids": ["b", "c"]},
        {"text": "sets", "set_ids": ["s0", "s1"], "split": "val"},
        {"text": "staple", "set_ids": ["s3"], "split": "test"},
        {"text": "none"},
        {"text": "one task", "item_ids": ["a"], "task": "oar"},
    )
    references = {query.text: query.item_ids for query in found.queries if query.task == "wscr"}
    assert references == {"both": ("a", "d"), "items": ("b", "c"), "sets": ("a", "b", "c")}
    assert [query.text for query in found.queries if query.task == "oar"] == [
        "both", "items", "sets", "staple", "none", "one task",
    ]  # fmt: skip
    held = {query.text: query.item_ids for query in found.queries if query.task == "oar" and query.split == "test"}
    assert held["staple"] == ()
    assert not any(held.values()), "nothing before the evaluation may read the relevant sets of a test query"
    assert {query.text: query.item_ids for query in found.queries if query.task == "oar" and query.split != "test"} == {
        "both": ("s1",), "items": ("s1", "s2"), "sets": ("s0", "s1"), "none": (), "one task": ("s0", "s2"),
    }  # fmt: skip
    assert found.relevant == {
        "oar:text:both": ("s1",),
        "oar:text:items": ("s1", "s2"),
        "oar:text:sets": ("s0", "s1"),
        "oar:text:staple": ("s3",),
        "oar:text:one task": ("s0", "s2"),
    }
    assert found.num_without_reference == 2


def test_records_of_equal_texts_are_one_query(tmp_path: Path) -> None:
    found = logged(
        tmp_path,
        {"text": "Red  Lamp", "item_ids": ["a", "b"]},
        {"text": "red lamp", "item_ids": ["c"], "query_id": "q7"},
        {"text": "red lamp (big)", "item_ids": ["c"], "split": "val"},
    )
    assert [(query.query_id, query.text, query.item_ids) for query in found.queries if query.task == "wscr"] == [
        ("wscr:log:q7", "Red Lamp", ("a", "b", "c")),
        ("wscr:text:red lamp (big)", "red lamp (big)", ("c",)),
    ]
    assert found.relevant["oar:log:q7"] == ("s0", "s1", "s2")
    assert {query.split for query in found.queries} == {"val"}


@given(st.lists(st.tuples(st.text("ab !É", min_size=1), st.sampled_from([None, *SPLITS])), max_size=8))
def test_a_text_has_one_split_however_it_is_spelled(records: list[tuple[str, Split | None]]) -> None:
    first: dict[str, Split] = {}
    lines = []
    for text, split in records:
        kept = split and first.setdefault(normalise_title(text), split)
        lines.append(LogLine(place="", query_id=None, text=text, tasks=TASKS, item_ids=(), set_ids=(), split=kept))
    found = splits_of(lines)
    assert set(found) == {normalise_title(text) for text, _ in records}
    assert all(found[text] == first.get(text, split_of(text)) for text in found)


def query(task: Task, text: str, split: Split) -> Query:
    return Query(query_id=f"{task}:{text}", task=task, text=text, item_ids=(), split=split)


def test_no_held_out_text_of_the_log_is_trained_on() -> None:
    logs = (query("oar", "soup", "test"), query("oar", "Cake", "train"), query("wscr", "stew", "val"))
    found = Logged(queries=logs, relevant={}, splits={"soup": "test", "cake": "train", "stew": "val"})
    made = [
        query("oar", "easy soup", "train"), query("oar", "easy cake", "train"), query("oar", "cake", "test"),
        query("oar", "cake for two", "test"), query("oar", "stew", "train"), query("oar", "pie", "test"),
        query("wscr", "Soup (hot)", "train"), query("wscr", "soup", "test"), query("wscr", "pie", "train"),
    ]  # fmt: skip
    cores = {"oar:easy soup": "soup", "oar:easy cake": "cake", "oar:cake for two": "cake"}
    kept = with_log(made, found, cores, "all")
    assert [f"{each.task} {each.text}" for each in kept[: -len(logs)]] == [
        "oar easy cake", "oar pie", "wscr soup", "wscr pie",
    ]  # fmt: skip
    assert tuple(kept[-len(logs) :]) == logs


@pytest.mark.parametrize(
    ("use", "stay"),
    [("all", {"train": 2, "val": 2, "test": 2}), ("train", {"train": 2, "val": 2, "test": 1}), ("none", {})],
)
def test_made_up_queries_beside_a_log(use: Any, stay: dict[str, int]) -> None:
    """The log has a judged test query of wscr, and an oar validation query that nothing judges."""
    logs = (query("wscr", "logged", "test"), query("oar", "asked", "val"))
    found = Logged(queries=logs, relevant={}, splits={"logged": "test", "asked": "val"})
    made = [query(task, f"{split} text", split) for task in TASKS for split in SPLITS]
    kept = with_log(made, found, {}, use)
    assert Counter(each.split for each in kept if each not in logs) == stay
    assert set(kept) >= set(logs)


def log_config(folder: Path, records: list[dict[str, Any]], suffix: str = ".jsonl") -> SetsConfig:
    kinds = {
        "items": [{"item_id": item.item_id, "text": item.text} for item in CATALOGUE.items],
        "sets": [{"set_id": row.set_id, "title": row.title, "item_ids": row.item_ids} for row in CATALOGUE.sets],
        "log": records,
    }
    for name, rows in kinds.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(records), folder / "log.parquet")
    return SetsConfig(
        items=folder / "items.jsonl", sets=folder / "sets.jsonl", queries=folder / f"log{suffix}", staple_share=1.0
    )


RECORDS = [
    {"text": "warm light", "set_ids": ["s0"], "split": "train", "task": None},
    {"text": "cosy corner", "set_ids": ["s1", "s2"], "split": "test", "task": "oar"},
    {"text": "only asked", "set_ids": [], "split": "val", "task": None},
]


def test_ingest_reads_a_log_says_so_and_reads_it_again_when_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, workspace = log_config(tmp_path, RECORDS), Workspace(tmp_path / "workspace")
    caplog.set_level(logging.INFO)
    run(config, workspace, seed=0)
    assert load_relevance(workspace, ["oar:text:cosy corner"]) == {"oar:text:cosy corner": {"s1", "s2"}}
    assert [each.text for each in load_queries(workspace, "oar", "test")] == ["cosy corner"]
    assert ("warm light", ("a", "b", "d")) in {(each.text, each.item_ids) for each in load_queries(workspace, "wscr")}
    said = "\n".join(caplog.messages)
    made = sum(split_of(row.title) == "train" for row in CATALOGUE.sets)
    assert f"oar queries: {made + 1} train ({made} made up, 1 from the log)" in said
    assert "queries of the log without a relevant item: 1;" in said
    assert "held-out oar queries of the log without a relevant set: 1;" in said
    assert "no wscr test query" not in said
    tables = [load_queries(workspace), load_relevance(workspace)]
    run(log_config(tmp_path, RECORDS, ".parquet"), workspace, seed=0)
    assert [load_queries(workspace), load_relevance(workspace)] == tables
    fewer = log_config(tmp_path, RECORDS[1:], ".parquet")
    run(fewer, workspace, seed=0)
    assert "warm light" not in {each.text for each in load_queries(workspace)}
    run(fewer.model_copy(update={"made_queries": "none"}), workspace, seed=0)
    assert [each.query_id for each in load_queries(workspace)] == ["oar:text:cosy corner", "oar:text:only asked"]
    assert "no oar train query, so train-folm cannot train the task" in caplog.text
    assert "no wscr query: add sets" in caplog.text


def test_a_faulty_or_missing_log_leaves_nothing(tmp_path: Path) -> None:
    config = log_config(tmp_path, [{"text": "x", "item_ids": ["nowhere"]}])
    for _ in range(2):
        with pytest.raises(DataError, match=r"log\.jsonl"):
            run(config, Workspace(tmp_path / "workspace"), seed=0)
        assert not list((tmp_path / "workspace").glob("catalogue*/*.parquet"))
        (tmp_path / "log.jsonl").unlink(missing_ok=True)


def test_a_smaller_catalogue_leaves_out_the_ids_that_it_lost(tmp_path: Path) -> None:
    config = log_config(
        tmp_path, [{"text": "all", "set_ids": ["s0", "s1", "s2", "s3"]}, {"text": "a", "item_ids": ["a"]}]
    )
    workspace = Workspace(tmp_path / "workspace")
    run(config.model_copy(update={"max_sets": 1}), workspace, seed=0)
    kept = pq.read_table(workspace.artifact("catalogue").file("sets.parquet"))["set_id"].to_pylist()
    assert load_relevance(workspace, ["oar:text:all"]) == {"oar:text:all": set(kept)}


def test_no_made_up_queries_need_a_log() -> None:
    with pytest.raises(ValidationError, match=r"set catalogue\.queries"):
        SetsConfig(items="i.jsonl", sets="s.jsonl", made_queries="none")
