"""Each fault of a user's files is reported with file, line and next step, and leaves no partial artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, load_items, load_queries, load_sets, run
from r4t_ray.errors import DataError

ITEMS: list[dict[str, Any]] = [{"item_id": f"i{n}", "text": f"thing {n}"} for n in range(4)]
SETS: list[dict[str, Any]] = [
    {"set_id": "s0", "title": "First", "item_ids": ["i0", "i1", "i2", "i3"]},
    {"set_id": "s1", "title": "Second", "description": "of two", "item_ids": ["i1", "i1", "i3"]},
]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


FAULTS = {
    "items missing": (None, lines(SETS), r"items\.jsonl: got no such file"),
    "no items": ("", lines(SETS), "no items"),
    "blank items": ("\n  \n", lines(SETS), "no items"),
    "no sets": (lines(ITEMS), "", "no sets"),
    "invalid JSON": (lines(ITEMS) + "{'a': 1}\n", lines(SETS), r"items\.jsonl:5: got invalid JSON"),
    "cut line": (lines(ITEMS)[:-5], lines(SETS), r"items\.jsonl:4: got invalid JSON"),
    "not text": (lines(ITEMS) + "\udcff\n", lines(SETS), r"items\.jsonl:5: got bytes that are not UTF-8"),
    "not an object": (lines(ITEMS) + "[1]\n", lines(SETS), r"items\.jsonl:5: got a JSON list"),
    "no text field": (lines([*ITEMS, {"item_id": "x"}]), lines(SETS), r"items\.jsonl:5: got no field 'text'"),
    "no item_ids": (lines(ITEMS), lines([without(SETS[0], "item_ids")]), r"sets\.jsonl:1: got no field 'item_ids'"),
    "empty text": (lines([{"item_id": "x", "text": " "}]), lines(SETS), r"items\.jsonl:1: got an empty text"),
    "null text": (lines([{"item_id": "x", "text": None}]), lines(SETS), r"items\.jsonl:1: got text = None"),
    "empty title": (lines(ITEMS), lines([{**SETS[0], "title": ""}]), r"sets\.jsonl:1: got an empty title"),
    "empty id": (lines([{"item_id": "", "text": "x"}]), lines(SETS), r"items\.jsonl:1: got an empty item_id"),
    "duplicate item": (
        "\n" + lines([*ITEMS, ITEMS[1]]),
        lines(SETS),
        r"items\.jsonl:6: got item_id 'i1' again, after .*items\.jsonl:3",
    ),
    "duplicate set": (lines(ITEMS), lines([*SETS, SETS[0]]), r"sets\.jsonl:3: got set_id 's0' again"),
    "missing item": (lines(ITEMS[:3]), lines(SETS), r"sets\.jsonl:1: got set 's0' with item 'i3'"),
    "empty set": (lines(ITEMS), lines([{**SETS[0], "item_ids": []}]), r"sets\.jsonl:1: got item_ids = \[\]"),
    "ids as text": (lines(ITEMS), lines([{**SETS[0], "item_ids": "i0"}]), r"sets\.jsonl:1: got item_ids = 'i0'"),
    "nested id": (lines(ITEMS), lines([{**SETS[0], "item_ids": [["i0"]]}]), r"sets\.jsonl:1: got item_ids = \['i0'\]"),
    "attributes": (lines([{**ITEMS[0], "attributes": [1]}]), lines(SETS), r"items\.jsonl:1: got attributes = \[1\]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_and_nothing_is_left(tmp_path: Path, fault: str) -> None:
    items, sets, message = FAULTS[fault]
    config = SetsConfig(items=tmp_path / "items.jsonl", sets=tmp_path / "sets.jsonl")
    for path, content in ((config.items, items), (config.sets, sets)):
        if content is not None:
            path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        run(config, Workspace(tmp_path / "workspace"), seed=0)
    assert caught.value.expected
    assert caught.value.fix
    assert not (tmp_path / "workspace" / "catalogue").exists()


def test_a_failed_run_leaves_the_earlier_artifact(tmp_path: Path) -> None:
    config = SetsConfig(items=tmp_path / "items.jsonl", sets=tmp_path / "sets.jsonl")
    config.items.write_text(lines(ITEMS))
    config.sets.write_text(lines(SETS))
    workspace = Workspace(tmp_path / "workspace")
    first = run(config, workspace, seed=0).manifest
    config.items.write_text("{")
    with pytest.raises(DataError, match="invalid JSON"):
        run(config, workspace, seed=0)
    assert workspace.artifact("catalogue").manifest == first


def test_parquet_reads_as_jsonl_does(tmp_path: Path) -> None:
    read = []
    for suffix in (".jsonl", ".parquet"):
        config = SetsConfig(items=tmp_path / f"items{suffix}", sets=tmp_path / f"sets{suffix}")
        items = [{**row, "attributes": json.dumps({"price": 1})} for row in ITEMS]
        sets = [{**row, "description": row.get("description")} for row in SETS]
        if suffix == ".jsonl":
            config.items.write_text(lines(items))
            config.sets.write_text(lines(sets))
        else:
            pq.write_table(pa.Table.from_pylist(items), config.items)
            pq.write_table(pa.Table.from_pylist(sets), config.sets)
        workspace = Workspace(tmp_path / f"workspace{suffix}")
        run(config.model_copy(update={"staple_share": 1.0}), workspace, seed=0)
        read.append((load_items(workspace), load_sets(workspace), load_queries(workspace)))
    assert read[0] == read[1]
    items_read, sets_read, queries = read[0]
    assert items_read[0].attributes == {"price": 1}
    assert sets_read[1].item_ids == ("i1", "i3")
    assert (sets_read[0].description, sets_read[1].description) == ("", "of two")
    assert [query.query_id for query in queries if query.task == "wscr"] == ["wscr:s0"]
    assert [query.text for query in queries if query.task == "oar"] == ["First", "Second"]


def test_parquet_faults(tmp_path: Path) -> None:
    config = SetsConfig(items=tmp_path / "items.parquet", sets=tmp_path / "sets.txt")
    config.sets.write_text("")
    pq.write_table(pa.table({"item_id": ["a"], "name": ["x"]}), config.items)
    with pytest.raises(DataError, match=r"items\.parquet: got no field 'text' \(have: item_id, name\)"):
        config.read()
    pq.write_table(pa.table({"item_id": ["a"], "text": ["x"]}), config.items)
    with pytest.raises(DataError, match=r"sets\.txt: got the suffix '\.txt'"):
        config.read()
    config.items.write_bytes(b"PAR1 is not all")
    with pytest.raises(DataError, match="unreadable parquet"):
        config.read()
