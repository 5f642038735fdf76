"""How ingest writes its files, and how much memory a record takes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, ingest, load_items, load_queries, load_relevance, load_sets, run

KINDS = ("lamp", "chair", "table")
COLOURS = ("red", "blue", "green", "black")


def write(folder: Path, num_items: int) -> SetsConfig:
    """Items with attributes, and a fifth as many sets of six items with twelve titles."""
    items = (
        {
            "item_id": f"item-{row}",
            "text": f"{COLOURS[row % 4]} {KINDS[row % 3]} number {row}",
            "attributes": {"category": KINDS[row % 3], "price": row},
        }
        for row in range(num_items)
    )
    sets = (
        {
            "set_id": f"set-{row}",
            "title": f"{COLOURS[row % 4]} {KINDS[row % 3]}",
            "item_ids": [f"item-{(row * 7 + place) % num_items}" for place in range(6)],
        }
        for row in range(num_items // 5)
    )
    folder.mkdir()
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items))
    (folder / "sets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sets))
    return SetsConfig(items=folder / "items.jsonl", sets=folder / "sets.jsonl")


def test_row_groups_hold_the_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path / "given", 100)
    whole, parted = Workspace(tmp_path / "whole"), Workspace(tmp_path / "parted")
    run(config, whole, seed=0)
    monkeypatch.setattr(ingest, "GROUP_ROWS", 7)
    monkeypatch.setattr(ingest, "GROUP_IDS", 20)
    run(config, parted, seed=0)
    files = {name: pq.read_metadata(parted.root / f"catalogue/{name}.parquet") for name in ("items", "sets", "queries")}
    assert {name: file.num_row_groups for name, file in files.items()} == {
        name: -(-file.num_rows // 7) for name, file in files.items()
    }
    # Three themes, and each is in the title or a category of all 20 sets.
    assert pq.read_metadata(parted.root / "catalogue/relevance.parquet").num_row_groups == 3
    for load in (load_items, load_sets, load_queries, load_relevance):
        assert load(parted) == load(whole)


def test_a_record_takes_a_few_hundred_bytes(tmp_path: Path) -> None:
    """Peak memory of Python objects for each further record, between two sizes."""
    peaks, sizes = [], (2_000, 5_000)
    for size in sizes:
        config = write(tmp_path / str(size), size)
        tracemalloc.start()
        try:
            run(config, Workspace(tmp_path / f"{size}-made"), seed=0)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    records = 1.2 * (sizes[1] - sizes[0])
    assert (peaks[1] - peaks[0]) / records < 800
