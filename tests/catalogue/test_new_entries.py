"""Files of new entries, removed ids and new queries: valid contents, and each fault with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import (
    Catalogue,
    RemovedIds,
    SetsConfig,
    read_new_entries,
    read_new_vectors,
    read_query_texts,
    read_removed_ids,
    run,
)
from r4t_ray.errors import DataError

OLD = ["salt", "thyme", "oil"]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with three items and one set."""
    config = SetsConfig(items=tmp_path / "old_items.jsonl", sets=tmp_path / "old_sets.jsonl")
    config.items.write_text(lines(*({"item_id": name, "text": name} for name in OLD)))
    config.sets.write_text(lines({"set_id": "s0", "title": "rub", "item_ids": OLD}))
    workspace = Workspace(tmp_path / "workspace")
    run(config, workspace, seed=0)
    return workspace


def test_new_sets_may_name_old_items_and_new_ones(workspace: Workspace, tmp_path: Path) -> None:
    items, sets = tmp_path / "items.jsonl", tmp_path / "sets.parquet"
    items.write_text(lines({"item_id": "basil", "text": " basil "}))
    pq.write_table(pa.table({"set_id": ["s1"], "title": ["pesto"], "item_ids": [["basil", "oil"]]}), sets)
    found = read_new_entries(workspace, items, sets)
    assert [(item.item_id, item.text) for item in found.items] == [("basil", "basil")]
    assert [(row.set_id, row.title, row.item_ids) for row in found.sets] == [("s1", "pesto", ("basil", "oil"))]
    assert read_new_entries(workspace, items, None) == Catalogue(items=found.items, sets=())
    assert read_new_entries(workspace, None, None) == Catalogue(items=(), sets=())


def test_new_entries_may_bring_vectors_along(workspace: Workspace, tmp_path: Path) -> None:
    items, sets = tmp_path / "items.jsonl", tmp_path / "sets.jsonl"
    items.write_text(lines({"item_id": "basil", "text": "basil", "embedding": [3, 4]}))
    sets.write_text(lines({"set_id": "s1", "title": "pesto", "item_ids": ["basil", "oil"]}))
    found = read_new_vectors(workspace, items, sets)
    assert set(found) == {"items"}
    assert np.allclose(found["items"], [[0.6, 0.8]])
    for field, kinds in (("embedding", {"items", "sets"}), (None, set())):
        run(SetsConfig(items=tmp_path / "old_items.jsonl", embedding_field=field), workspace, seed=0)
        assert set(read_new_vectors(workspace, items, None)) == kinds


FAULTS = {
    "old item": (lines({"item_id": "oil", "text": "x"}), None, r"items\.jsonl:1: got item_id 'oil' again.*workspace"),
    "twice": (lines(*[{"item_id": "a", "text": "x"}] * 2), None, r"items\.jsonl:2: got item_id 'a' again"),
    "no text": (
        lines({"item_id": "a", "name": "x"}),
        None,
        r"items\.jsonl:1: got no field 'text' \(have: item_id, name",
    ),
    "blank text": (lines({"item_id": "a", "text": " "}), None, r"items\.jsonl:1: got an empty text"),
    "empty items": ("\n", None, r"items\.jsonl: got no items"),
    "empty sets": (None, "", r"sets\.jsonl: got no sets"),
    "old set": (
        None,
        lines({"set_id": "s0", "title": "t", "item_ids": ["oil"]}),
        r"sets\.jsonl:1: got set_id 's0' again",
    ),
    "unknown item": (None, lines({"set_id": "s1", "title": "t", "item_ids": ["tin"]}), r"sets\.jsonl:1: .*'tin'"),
    "half a line": (None, '{"set_id": "s', r"sets\.jsonl:1: got invalid JSON"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named(workspace: Workspace, tmp_path: Path, fault: str) -> None:
    *contents, message = FAULTS[fault]
    paths: list[Path | None] = [None, None]
    for number, (name, content) in enumerate(zip(("items", "sets"), contents, strict=True)):
        if content is not None:
            paths[number] = tmp_path / f"{name}.jsonl"
            (tmp_path / f"{name}.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        read_new_entries(workspace, *paths)


def test_a_removed_id_can_be_reused_and_leaves_the_sets(workspace: Workspace, tmp_path: Path) -> None:
    items, sets = tmp_path / "items.jsonl", tmp_path / "sets.jsonl"
    items.write_text(lines({"item_id": "oil", "text": "olive oil"}))
    (tmp_path / "gone.txt").write_text("oil\n thyme \n\n")
    gone = read_removed_ids(workspace, tmp_path / "gone.txt", None)
    assert gone == RemovedIds(items=frozenset({"oil", "thyme"}), sets=frozenset())
    assert [item.text for item in read_new_entries(workspace, items, None, gone).items] == ["olive oil"]
    sets.write_text(lines({"set_id": "s1", "title": "tea", "item_ids": ["thyme"]}))
    assert read_new_entries(workspace, None, sets).sets
    with pytest.raises(DataError, match=r"sets\.jsonl:1: .*'thyme'"):
        read_new_entries(workspace, None, sets, gone)


def test_all_sets_may_be_replaced(workspace: Workspace, tmp_path: Path) -> None:
    sets, gone = tmp_path / "sets.jsonl", RemovedIds(sets=frozenset({"s0"}))
    sets.write_text(lines({"set_id": "s0", "title": "another rub", "item_ids": ["oil"]}))
    assert [row.title for row in read_new_entries(workspace, None, sets, gone).sets] == ["another rub"]
    with pytest.raises(DataError, match="without the removed entries: got no sets"):
        read_new_entries(workspace, None, None, gone)


def test_only_ids_of_the_workspace_can_be_removed(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "gone.txt"
    path.write_text("oil\ntin\ns0\n")
    with pytest.raises(DataError, match=r"gone\.txt: got 's0', which no item has, and 1 more"):
        read_removed_ids(workspace, path, None)
    with pytest.raises(DataError, match=r"gone\.txt: got 'oil', which no set has, and 1 more"):
        read_removed_ids(workspace, None, path)
    path.write_text("\n")
    with pytest.raises(DataError, match=r"gone\.txt: got no ids"):
        read_removed_ids(workspace, path, None)
    with pytest.raises(DataError, match=r"none\.txt: got no such file"):
        read_removed_ids(workspace, None, tmp_path / "none.txt")


def test_missing_file(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: got no such file"):
        read_new_entries(workspace, tmp_path / "none.jsonl", None)


def test_queries_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_text("  a warm soup \n\nsoup\nsoup\n", encoding="utf-8")
    assert read_query_texts(path, "oar") == ["a warm soup", "soup", "soup"]  # repeated queries are kept
    path.write_text(" \n")
    with pytest.raises(DataError, match=r"queries\.txt: got no queries"):
        read_query_texts(path, "oar")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"queries\.txt:1: got bytes that are not UTF-8"):
        read_query_texts(path, "oar")
    with pytest.raises(DataError, match=r"none\.txt: got no such file"):
        read_query_texts(tmp_path / "none.txt", "oar")


@pytest.mark.parametrize("name", ["queries.jsonl", "queries-*.jsonl", "folder"])
def test_queries_are_records_of_their_task(tmp_path: Path, name: str) -> None:
    records = [{"text": " a warm soup"}, {"text": "tops", "task": "wscr", "time": "2026"}, {"text": "x", "task": "oar"}]
    path = tmp_path / name.replace("*", "1")
    if name == "folder":
        path.mkdir()
        path /= "part.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    assert read_query_texts(tmp_path / name, "oar") == ["a warm soup", "x"]
    assert read_query_texts(tmp_path / name, "wscr") == ["a warm soup", "tops"]
    path.write_text('{"text": "tops", "task": "shoes"}', encoding="utf-8")
    with pytest.raises(DataError, match=r":1: got task = 'shoes'"):
        read_query_texts(tmp_path / name, "oar")
