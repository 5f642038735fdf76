"""A catalogue that has only items, such as the products of a shop: OAR searches the items, and WSCR is off."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import (
    RemovedIds,
    SetsConfig,
    load_items,
    load_queries,
    load_relevance,
    load_sets,
    read_new_entries,
    read_removed_ids,
    run,
)
from r4t_ray.catalogue.ingest import has_sets
from r4t_ray.config import parse_settings
from r4t_ray.errors import ConfigError, DataError
from r4t_ray.experiment import Experiment

PRODUCTS = [
    {"item_id": f"p{n}", "text": f"{colour} linen {kind}", "attributes": {"category": "Tops" if n % 2 else "Shoes"}}
    for n, (colour, kind) in enumerate((colour, kind) for colour in ("red", "blue") for kind in ["shirt", "dress"] * 5)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ingested(folder: Path, **settings: Any) -> Workspace:
    workspace = Workspace(folder / "workspace")
    run(SetsConfig(items=write(folder / "items.jsonl", PRODUCTS), **settings), workspace, seed=0)
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return ingested(tmp_path)


def test_oar_asks_for_words_of_the_items_and_is_judged_by_items(workspace: Workspace) -> None:
    queries, relevance = load_queries(workspace), load_relevance(workspace)
    assert {query.task for query in queries} == {"oar"}
    assert {"simple shirt", "linen ideas", "simple tops", "red dress"} <= {query.text for query in queries}
    shirts = {row["item_id"] for row in PRODUCTS if "shirt" in str(row["text"])}
    assert relevance["oar:simple shirt"] == shirts
    assert relevance["oar:tops"] == {item.item_id for item in load_items(workspace) if int(item.item_id[1:]) % 2}


def test_the_pool_of_oar_holds_each_item(workspace: Workspace) -> None:
    assert not has_sets(workspace)
    assert [(row.set_id, row.title) for row in load_sets(workspace)] == [
        (item.item_id, item.text) for item in load_items(workspace)
    ]


def test_ingest_says_that_wscr_is_off_and_makes_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    workspace = ingested(tmp_path, min_reference=1, max_sets=15)
    assert load_queries(workspace, "wscr") == []
    assert len(load_items(workspace)) == 15
    said = [record.getMessage() for record in caplog.records]
    assert "15 items, 0 sets" in said
    assert any("oar searches the items, and wscr is off" in line for line in said)
    assert not any(word in line for line in said for word in ("wscr quer", "staple", "min_reference"))


def test_a_log_names_relevant_items(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [
        {"text": "for a wedding", "item_ids": ["p1", "p2"]},
        {"text": "cold days", "item_ids": ["p5"], "split": "test", "task": "oar"},
        {"text": "a shirt and a dress", "item_ids": ["p0", "p1"], "task": "wscr"},
    ]
    workspace = ingested(tmp_path, queries=write(tmp_path / "log.jsonl", records), made_queries="none")
    assert [(query.task, query.text) for query in load_queries(workspace)] == [
        ("oar", "for a wedding"), ("oar", "cold days"),
    ]  # fmt: skip
    assert load_relevance(workspace) == {"oar:text:for a wedding": {"p1", "p2"}, "oar:text:cold days": {"p5"}}
    assert "queries of the log with task: wscr are left out: 1" in caplog.text


def test_new_and_removed_items_change_both_pools(workspace: Workspace, tmp_path: Path) -> None:
    new = read_new_entries(workspace, write(tmp_path / "new.jsonl", [{"item_id": "new", "text": "silk cape"}]), None)
    assert [(row.set_id, row.title, row.item_ids) for row in new.sets] == [("new", "silk cape", ("new",))]
    gone = tmp_path / "gone.txt"
    gone.write_text("p3\n")
    removed = read_removed_ids(workspace, gone, None)
    assert removed == RemovedIds(items=frozenset({"p3"}), sets=frozenset({"p3"}))
    again = write(tmp_path / "again.jsonl", [{"item_id": "p3", "text": "silk cape"}])
    assert [row.set_id for row in read_new_entries(workspace, again, None, removed).sets] == ["p3"]
    with pytest.raises(DataError, match=r"again\.jsonl:1: got item_id 'p3' again"):
        read_new_entries(workspace, again, None)


def test_files_of_sets_are_refused_later(workspace: Workspace, tmp_path: Path) -> None:
    sets = write(tmp_path / "sets.jsonl", [{"set_id": "s", "title": "look", "item_ids": ["p0"]}])
    for read in (lambda: read_new_entries(workspace, None, sets), lambda: read_removed_ids(workspace, None, sets)):
        with pytest.raises(DataError, match=r"sets\.jsonl: got sets for .*whose catalogue has only items"):
            read()


def test_a_catalogue_gains_sets_when_it_is_ingested_with_them(tmp_path: Path) -> None:
    assert not has_sets(ingested(tmp_path))
    rows = [{"set_id": f"s{n}", "title": "look", "item_ids": ["p0", "p1", "p2"]} for n in range(3)]
    workspace = ingested(tmp_path, sets=write(tmp_path / "sets.jsonl", rows))
    assert has_sets(workspace)
    assert len(load_queries(workspace, "wscr")) == len(load_sets(workspace)) == 3


def test_without_sets_the_language_model_is_trained_for_oar_alone() -> None:
    catalogue = {"type": "sets", "items": "items.jsonl"}
    for folm in ({}, {"folm": None}, {"folm": {"k": 5}}, {"folm": {"tasks": ["oar"]}}, {"preset": "paper"}):
        assert parse_settings(Experiment, {"catalogue": catalogue, **folm}, "here").folm.tasks == ("oar",)
    assert parse_settings(Experiment, {"catalogue": {**catalogue, "sets": "s.jsonl"}}, "here").folm.tasks == (
        "oar", "wscr",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"wscr needs sets; give catalogue\.sets, or set folm\.tasks to \[oar\]"):
        parse_settings(Experiment, {"catalogue": catalogue, "folm": {"tasks": ["oar", "wscr"]}}, "here")
