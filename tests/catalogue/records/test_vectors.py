"""Vectors of records: every form of file gives the same ones, ingest writes them, and faults name file and place."""

from __future__ import annotations

import json
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, run
from r4t_ray.catalogue.records import read_vectors, vectors
from r4t_ray.embedding_table import given_embeddings, read_embedding_table
from r4t_ray.errors import DataError
from r4t_ray.types import Array

from ..forms import FORMS, Row, write_csv, write_lines, write_parquet

WIDTH = 6


def items(count: int, seed: int = 0) -> list[Row]:
    """Items with vectors of any length."""
    emb_ND = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return [{"item_id": f"i{at}", "text": f"thing {at}", "embedding": row.tolist()} for at, row in enumerate(emb_ND)]


def units(rows: list[Row]) -> Array:
    emb_ND = np.array([row["embedding"] for row in rows])
    return (emb_ND / np.linalg.norm(emb_ND, axis=1, keepdims=True)).astype(np.float32)


def read(path: Path, name: str = "embedding") -> tuple[list[str], Array]:
    batches = list(read_vectors(path, "item_id", name))
    return [key for batch in batches for key in batch.ids], np.concatenate([batch.emb_ND for batch in batches])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_vectors(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BATCH_ROWS", 4)
    rows = items(10)
    ids, emb_ND = read(FORMS[form.replace(" with semicolons", "")](tmp_path / "items", rows))
    assert ids == [row["item_id"] for row in rows]
    assert emb_ND.dtype == np.float32
    assert np.abs(emb_ND - units(rows)).max() < 1e-7


LISTS = {
    "fixed-size": pa.list_(pa.float32(), 2),
    "large, half precision": pa.large_list(pa.float16()),
    "view of integers": pa.list_view(pa.int8()),
    "text": pa.string(),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_every_type(tmp_path: Path, kind: str) -> None:
    given = [[3, 4], [0, -2], [5, 12]]
    column = [json.dumps(each) for each in given] if kind == "text" else given
    table = pa.table({"item_id": ["a", "b", "c"], "vector": pa.array(column, LISTS[kind])})
    pq.write_table(table, tmp_path / "items.parquet", row_group_size=2)
    ids, emb_ND = read(tmp_path / "items.parquet", "vector")
    assert ids == ["a", "b", "c"]
    assert np.abs(emb_ND - [[0.6, 0.8], [0, -1], [5 / 13, 12 / 13]]).max() < 1e-3


UNLIKE = "unlike the 2 records before it; expected 'embedding' in every record or in none"
NUMBERS = "expected a list of finite numbers that are not all 0"
FAULTS: dict[str, tuple[Any, str]] = {
    "missing": (None, f"got no vector in 'embedding', {UNLIKE}"),
    "short": ([1.0, 2.0], "got embedding of width 2; expected width 6"),
    "empty": ([], rf"got embedding = \[\]; {NUMBERS}"),
    "zero": ([0.0] * WIDTH, f"got embedding that is 0 everywhere; {NUMBERS}"),
    "NaN": ([float("nan")] * WIDTH, f"not finite or too large somewhere; {NUMBERS}"),
    "overflow": ([1e200] * WIDTH, f"not finite or too large somewhere; {NUMBERS}"),
    "null inside": ([None, *[1.0] * (WIDTH - 1)], NUMBERS),
    "true": ([True] * WIDTH, NUMBERS),
    "texts": (["1"] * WIDTH, NUMBERS),
    "nested": ([[1.0]] * WIDTH, NUMBERS),
    "ragged": ([[1.0], 1.0], NUMBERS),
    "number": (3, f"got embedding = 3; {NUMBERS}"),
    "no JSON": ("[1, 2", rf"got embedding = '\[1, 2'; {NUMBERS}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_names_the_line(tmp_path: Path, fault: str) -> None:
    value, message = FAULTS[fault]
    rows = items(4)
    rows[2] = rows[2] | {"embedding": value}
    path = write_lines(tmp_path / "items.jsonl", rows)
    with pytest.raises(DataError, match=rf"items\.jsonl:3: .*{message}"):
        read(path)


@pytest.mark.parametrize("fault", ["missing", "short", "empty", "zero", "NaN", "overflow", "null inside"])
def test_a_fault_names_the_row(tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BATCH_ROWS", 2)
    value, message = FAULTS[fault]
    rows = items(4)
    rows[2] = rows[2] | {"embedding": value}
    with pytest.raises(DataError, match=rf"items\.parquet row 3: .*{message}"):
        read(write_parquet(tmp_path / "items.parquet", rows))


def test_a_vector_after_records_without_one_is_refused(tmp_path: Path) -> None:
    rows = items(3)
    late = [{name: row[name] for name in ("item_id", "text")} for row in rows[:2]] + rows[2:]
    for path in (write_lines(tmp_path / "a.jsonl", late), write_csv(tmp_path / "a.csv", late)):
        with pytest.raises(DataError, match=f"got a vector in 'embedding', {UNLIKE}"):
            read(path)


def test_files_without_vectors_are_not_parsed_again(tmp_path: Path) -> None:
    rows = [{"item_id": "a", "text": "x"}]
    for form in FORMS:
        (tmp_path / form).mkdir()
        path = FORMS[form](tmp_path / form / "items", rows)
        assert list(read_vectors(path, "no such field", "embedding")) == []
    mentioned = write_lines(tmp_path / "b.jsonl", [rows[0] | {"text": "the embedding"}])
    assert list(read_vectors(mentioned, "item_id", "embedding")) == []


def ingest(tmp_path: Path, **settings: Any) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    run(SetsConfig(min_reference=1, staple_share=1.0, **settings), workspace, seed=0)
    return workspace


def sets(count: int) -> list[Row]:
    return [{"set_id": f"s{at}", "title": f"set {at}", "item_ids": [f"i{at}"]} for at in range(count)]


def test_ingest_writes_the_vectors_beside_the_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "BATCH_ROWS", 16)
    rows = items(40)
    rows[0]["embedding"] = units(rows[:1])[0].tolist()
    files = {"items": write_lines(tmp_path / "i.jsonl", rows), "sets": write_parquet(tmp_path / "s.parquet", sets(40))}
    with caplog.at_level(logging.INFO):
        folder = ingest(tmp_path, **files).artifact("catalogue").path
    assert "items: 40 vectors of width 6 from the file; 39 vectors of the file had another length than 1" in caplog.text
    ids, emb_MD = read_embedding_table(given_embeddings(folder, "items"))
    assert ids == [row["item_id"] for row in rows]
    assert np.abs(emb_MD - units(rows)).max() < 1e-7
    assert not given_embeddings(folder, "sets").exists()
    folder = ingest(tmp_path, **files, max_sets=9).artifact("catalogue").path
    fewer, some_MD = read_embedding_table(given_embeddings(folder, "items"))
    assert fewer == pq.read_table(folder / "items.parquet")["item_id"].to_pylist()
    assert len(fewer) == 9
    assert np.array_equal(some_MD, emb_MD[[ids.index(key) for key in fewer]])
    folder = ingest(tmp_path, **files, embedding_field=None).artifact("catalogue").path
    assert not given_embeddings(folder, "items").exists()


def test_sets_may_have_vectors(tmp_path: Path) -> None:
    rows = [row | {"embedding": item["embedding"]} for row, item in zip(sets(12), items(12, seed=1), strict=True)]
    plain = [{name: row[name] for name in ("item_id", "text")} for row in items(12)]
    files = {"items": write_lines(tmp_path / "i.jsonl", plain), "sets": write_parquet(tmp_path / "s.parquet", rows)}
    folder = ingest(tmp_path, **files).artifact("catalogue").path
    ids, emb_MD = read_embedding_table(given_embeddings(folder, "sets"))
    assert ids == [row["set_id"] for row in rows]
    assert np.abs(emb_MD - units(rows)).max() < 1e-7
    assert not given_embeddings(folder, "items").exists()


def test_items_without_sets_are_sets_with_their_vectors(tmp_path: Path) -> None:
    rows = [{"vector" if name == "embedding" else name: value for name, value in row.items()} for row in items(12)]
    path = write_parquet(tmp_path / "i.parquet", rows)
    folder = ingest(tmp_path, items=path, embedding_field="vector").artifact("catalogue").path
    for kind in ("items", "sets"):
        ids, emb_MD = read_embedding_table(given_embeddings(folder, kind))
        assert (ids, emb_MD.shape) == ([f"i{at}" for at in range(12)], (12, WIDTH))


def test_a_file_that_changes_between_the_readings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_lines(tmp_path / "i.jsonl", items(5))
    whole = SetsConfig.read

    def read_and_cut(config: SetsConfig) -> Any:
        catalogue = whole(config)
        write_lines(path, items(4))
        return catalogue

    monkeypatch.setattr(SetsConfig, "read", read_and_cut)
    with pytest.raises(DataError, match=r"catalogue\.items: got other ids at the second reading"):
        ingest(tmp_path, items=path)
    assert not (tmp_path / "workspace" / "catalogue").exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors of the file take 10 MB in float32, and 80 MB as Python numbers."""
    monkeypatch.setattr(vectors, "BATCH_ROWS", 256)
    num, width = 10_000, 256
    flat = np.random.default_rng(0).normal(size=num * width).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
    table = pa.table({"item_id": [str(at) for at in range(num)], "embedding": column})
    pq.write_table(table, tmp_path / "items.parquet", row_group_size=1024)
    tracemalloc.start()
    try:
        assert sum(len(batch.ids) for batch in read_vectors(tmp_path / "items.parquet", "item_id", "embedding")) == num
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6
