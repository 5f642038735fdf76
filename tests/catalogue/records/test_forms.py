"""Every form of file gives the same records; values that JSON lacks have a stated form; faults name file and place."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.catalogue.datasets.sets import ITEM_FIELDS, SET_FIELDS, read_items, read_sets
from r4t_ray.catalogue.queries.log import LOG_FIELDS
from r4t_ray.catalogue.records import Fields, Record, ids_field, read_records
from r4t_ray.errors import DataError

from ..forms import FORMS, Row, write_csv, write_lines, write_parquet

ITEMS: list[Row] = [
    {"item_id": "007", "text": 'a "small" lamp,\nof glass', "attributes": {"category": "Lamps", "tags": ["é", None]}},
    {"item_id": "i2", "text": "ガラスの器", "attributes": None},
    {"item_id": "i;3", "text": "चाय", "attributes": {"category": "चाय", "tags": None}},
]
SETS: list[Row] = [
    {"set_id": "s1", "title": "one", "description": "of two", "item_ids": ["007", "i2"], "unused": 1},
    {"set_id": "s2", "title": "two", "description": None, "item_ids": ["i2"], "unused": 2},
    {"set_id": "s3", "title": "three", "description": None, "item_ids": ["i2", "007", "i2"], "unused": 3},
]


def records(path: Path, fields: Fields = ITEM_FIELDS) -> list[Record]:
    return list(read_records(path, fields))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_catalogue(tmp_path: Path, form: str) -> None:
    _, items = read_items(FORMS[form](tmp_path / "items", ITEMS))
    assert [(item.item_id, item.text) for item in items] == [(row["item_id"], row["text"]) for row in ITEMS]
    found = [{name: value for name, value in item.attributes.items() if value is not None} for item in items]
    assert found == [{"category": "Lamps", "tags": ["é", None]}, {}, {"category": "चाय"}]
    places, sets = read_sets(FORMS[form](tmp_path / "sets", SETS))
    assert [row.item_ids for row in sets] == [("007", "i2"), ("i2",), ("i2", "007")]
    assert [row.description for row in sets] == ["of two", "", ""]
    assert len(set(places)) == 3
    assert all("items" not in place and "sets" in place for place in places)


def test_a_place_is_the_line_on_which_a_record_begins(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "items.csv", ITEMS)
    assert [place for place, _ in records(path)] == [f"{path}:{line}" for line in (2, 4, 5)]
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"item_id": "a", "text": "x"}\r\n\r\n{"item_id": "b", "text": "\xe2\x80\xa8"}\r')
    assert records(path) == [
        (f"{path}:1", {"item_id": "a", "text": "x"}),
        (f"{path}:3", {"item_id": "b", "text": "\u2028"}),
    ]
    path = tmp_path / "items.csv"
    path.write_bytes(b"\xef\xbb\xbfitem_id, text \r\n\r\na,x\r\n")
    assert records(path) == [(f"{path}:3", {"item_id": "a", "text": "x"})]


def test_numbers_are_ids_and_texts(tmp_path: Path) -> None:
    for column in ([7, 8], pa.array([7, 8], pa.uint16()), [Decimal(7), Decimal(8)], pa.array([b"7", b"8"])):
        path = tmp_path / "items.parquet"
        pq.write_table(pa.table({"item_id": column, "text": [1984, 2001]}), path)
        assert [(item.item_id, item.text) for item in read_items(path)[1]] == [("7", "1984"), ("8", "2001")]
    for value in (7.0, True, float("nan")):
        with pytest.raises(DataError, match=r"parquet row 1: got item_id = .*write item_id as text"):
            read_items(write_parquet(path, [{"item_id": value, "text": "x"}]))


TEXT_TYPES: dict[str, Callable[[list[str]], Any]] = {
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "large": lambda texts: pa.array(texts, pa.large_string()),
    "view": lambda texts: pa.array(texts, pa.string_view()),
    "binary": lambda texts: pa.array([text.encode() for text in texts], pa.large_binary()),
}


@pytest.mark.parametrize("kind", TEXT_TYPES)
def test_columns_of_every_text_type(tmp_path: Path, kind: str) -> None:
    make = TEXT_TYPES[kind]
    table = {"set_id": make(["a", "b"]), "title": make(["é", "é"]), "item_ids": [["i"], ["j", "k"]]}
    pq.write_table(pa.table(table), tmp_path / "sets.parquet")
    _, sets = read_sets(tmp_path / "sets.parquet")
    assert [(row.set_id, row.title, row.item_ids) for row in sets] == [("a", "é", ("i",)), ("b", "é", ("j", "k"))]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64(), 2), pa.large_list(pa.string()), pa.list_view(pa.string())])
def test_columns_of_every_list_type(tmp_path: Path, kind: pa.DataType) -> None:
    ids = pa.array([[1, 2]], pa.list_(pa.int64())).cast(kind) if pa.types.is_fixed_size_list(kind) else pa.array(
        [["1", "2"]], kind
    )  # fmt: skip
    pq.write_table(pa.table({"set_id": ["a"], "title": ["x"], "item_ids": ids}), tmp_path / "sets.parquet")
    assert read_sets(tmp_path / "sets.parquet")[1][0].item_ids == ("1", "2")


STATED = {
    "timestamp": (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
    "timestamp with a zone": (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
    "date": (date(2024, 1, 2), "2024-01-02"),
    "time": (time(3, 4, 5), "03:04:05"),
    "decimal": (Decimal("9.90"), "9.90"),
    "text as bytes": ("é".encode(), "é"),
    "nan": (float("nan"), None),
    "infinity": (float("-inf"), None),
    "list": ([date(2024, 1, 2), None], ["2024-01-02", None]),
    "struct": ({"in": {"price": Decimal("1.5")}}, {"in": {"price": "1.5"}}),
}


@pytest.mark.parametrize("name", STATED)
def test_types_that_json_lacks_have_a_stated_form(tmp_path: Path, name: str) -> None:
    value, expected = STATED[name]
    path = write_parquet(tmp_path / "items.parquet", [{"item_id": "a", "text": "x", "attributes": {"value": value}}])
    (item,) = read_items(path)[1]
    assert item.attributes == {"value": expected}
    json.dumps(item.attributes, allow_nan=False).encode()


def test_a_uuid_is_its_text(tmp_path: Path) -> None:
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(15) + b"\7"], pa.binary(16)))
    pq.write_table(pa.table({"item_id": uuids, "text": ["x"]}), tmp_path / "items.parquet")
    assert read_items(tmp_path / "items.parquet")[1][0].item_id == "00000000-0000-0000-0000-000000000007"


def test_maps_of_parquet_are_objects(tmp_path: Path) -> None:
    maps = pa.array([[("size", 3)], [], None], pa.map_(pa.string(), pa.int32()))
    pq.write_table(pa.table({"item_id": list("abc"), "text": ["x"] * 3, "attributes": maps}), tmp_path / "i.parquet")
    assert [item.attributes for item in read_items(tmp_path / "i.parquet")[1]] == [{"size": 3}, {}, {}]


UNREADABLE = {
    "bytes": pa.array([b"a", b"\xff\xd8\xff"]),
    "duration": pa.array([None, timedelta(1)]),
    "year 33658": pa.array([0, 10**12], pa.timestamp("s")),
    "key twice": pa.array([[], [("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int32())),
    "list of bytes": pa.array([[], [b"\xff"]]),
    "text that is not UTF-8": pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_value_without_a_form_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    attributes = pa.StructArray.from_arrays([UNREADABLE[name]], ["value"])
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": ["a", "b"], "text": ["x", "y"], "attributes": attributes}), path)
    with pytest.raises(DataError, match=r"items\.parquet row 2: got .*attributes.*(leave it out|text)"):
        read_items(path)


SURROGATES = {
    "text": {"item_id": "x", "text": "caf\ud83d"},
    "id": {"item_id": "\udc00", "text": "x"},
    "attribute": {"item_id": "x", "text": "y", "attributes": {"a": {"b": ["caf\ud83d"]}}},
    "key": {"item_id": "x", "text": "y", "attributes": {"caf\ud83d": 1}},
    "attributes as text": {"item_id": "x", "text": "y", "attributes": json.dumps({"a": "caf\ud83d"})},
    "name of a field": {"caf\ud83d": "x", "text": "y"},
}


@pytest.mark.parametrize("name", SURROGATES)
def test_half_of_a_surrogate_pair_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / "items.jsonl", [{"item_id": "a", "text": "whole \U0001f35c"}, SURROGATES[name]])
    with pytest.raises(DataError, match=r"items\.jsonl:2: got .*ud83d|udc00") as caught:
        read_items(path)
    str(caught.value).encode()
    with pytest.raises(DataError, match=r"log\.jsonl:1: got half of a surrogate pair .* in item_ids\[0\]"):
        records(write_lines(tmp_path / "log.jsonl", [{"text": "x", "item_ids": ["\ud83d"]}]), LOG_FIELDS)


def test_a_field_that_is_not_read_may_hold_anything(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "items.jsonl", [{"item_id": "a", "text": "x", "note": "caf\ud83d"}])
    assert records(path)[0][1] == {"item_id": "a", "text": "x"}
    path = write_parquet(tmp_path / "items.parquet", [{"item_id": "a", "text": "x", "picture": b"\xff\xd8"}])
    assert records(path)[0][1] == {"item_id": "a", "text": "x"}


GOOD = '{"item_id": "a", "text": "x"}\n'
TEXT_FAULTS = {
    "nested attributes": (".jsonl", '{"item_id": "a", "text": "x", "attributes": {"a": ' + "[" * 90 + "]" * 90 + "}}",
                          r"jsonl:1: got more than 50 levels in attributes\.a"),
    "nested for the parser": (".jsonl", "[" * 100_000, r"jsonl:1: got invalid JSON \(nested too deeply\)"),
    "a list in JSON": (".json", "[\n" + GOOD + "]", r"json:1: got invalid JSON.*jq -c '\.\[\]' items\.json"),
    "a list in one line": (".json", "[]", r"json:1: got a JSON list.*write each object on its own line"),
    "UTF-16": (".jsonl", GOOD.encode("utf-16"), r"jsonl:1: got bytes that are not UTF-8"),
    "Latin 1": (".csv", "item_id,text\na,x\nb,caf\xe9\n".encode("latin-1"), r"csv:3: got bytes that are not UTF-8"),
    "no gzip": (".jsonl.gz", GOOD, r"jsonl\.gz: got an unreadable file \(Not a gzipped file"),
    "cut gzip": (".csv.gz", gzip.compress(b"item_id,text\n" + b"a,x\n" * 9)[:-9], r"csv\.gz:\d+: got an unreadable"),
    "no column": (".csv", "item_id,name\na,x\n", r"csv:1: got no field 'text' \(have: item_id, name\)"),
    "semicolons": (".csv", "item_id;text\na;x\n", r"csv:1: got names separated by ';'; expected cells separated"),
    "tabs": (".csv", "item_id\ttext\na\tx\n", r"csv:1: got names separated by '\\t'"),
    "column twice": (".csv", "item_id,text,text\na,x,y\n", r"csv:1: got the column 'text' 2 times"),
    "few cells": (".csv", 'item_id,text\na,"x\ny"\nb\n', r"csv:4: got 1 cells; expected 2"),
    "many cells": (".csv", "item_id,text\na,x,y\n", r"csv:2: got 3 cells; expected 2"),
    "open quote": (".csv", 'item_id,text\na,x\nb,"y\nc,z\n', r"csv:3: got invalid CSV"),
    "empty cell": (".csv", "item_id,text\na,\n", r"csv:2: got text = None"),
    "empty parquet": (".parquet", "", r"parquet: got unreadable parquet"),
    "no parquet": (".parquet", GOOD, r"parquet: got unreadable parquet"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TEXT_FAULTS)
def test_a_fault_of_a_file_is_named(tmp_path: Path, fault: str) -> None:
    suffix, content, message = TEXT_FAULTS[fault]
    path = tmp_path / f"items{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message):
        read_items(path)


def test_damage_inside_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "items.parquet", [{"item_id": f"i{n}", "text": "x" * n} for n in range(99)])
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes(200) + whole[240:])
    with pytest.raises(DataError, match=r"items\.parquet: got unreadable parquet"):
        read_items(path)
    path.write_bytes(whole.replace(b"item_id", b"item\xff\xffd"))
    with pytest.raises(DataError, match=r"items\.parquet: got unreadable parquet"):
        read_items(path)


def test_only_the_columns_that_are_used_are_read(tmp_path: Path) -> None:
    rows = [{"item_id": f"i{n}", "text": "x" * n, "unused": f"{n}" * 9} for n in range(99)]
    path = write_parquet(tmp_path / "items.parquet", rows)
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    start, content = column.dictionary_page_offset, path.read_bytes()
    path.write_bytes(content[:start] + bytes(300) + content[start + 300 :])
    assert column.total_compressed_size > 300
    assert len(read_items(path)[1]) == 99
    with pytest.raises(DataError, match="unreadable parquet"):
        records(path, Fields(required=("item_id", "unused")))


def test_ids_of_a_log_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('text,item_ids,set_ids,split\na,i1; i2 ;,"[""s1"", 2]",\nb,,[],val\n')
    found = [(fields["split"], ids_field("", fields, "item_ids") if fields["item_ids"] else None, fields["set_ids"])
             for _, fields in records(path, LOG_FIELDS)]  # fmt: skip
    assert found == [(None, ("i1", "i2"), '["s1", 2]'), ("val", None, "[]")]
    assert ids_field("", {"set_ids": '["s1", 2]'}, "set_ids") == ("s1", "2")


def test_a_long_cell_is_read_whole(tmp_path: Path) -> None:
    ids = [f"item-{n}" for n in range(30_000)]
    path = write_csv(tmp_path / "sets.csv", [{"set_id": "s", "title": "x", "item_ids": ids}])
    assert read_sets(path)[1][0].item_ids == tuple(ids)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl.gz", ".csv"])
def test_records_are_read_one_after_another(tmp_path: Path, suffix: str) -> None:
    """Peak memory stays below the size of one column."""
    rows = [{"set_id": f"s{n}", "title": "x" * 400, "item_ids": ["i"], "unused": f"{n}" * 200} for n in range(20_000)]
    path = tmp_path / f"sets{suffix}"
    {".parquet": write_parquet, ".jsonl.gz": write_lines, ".csv": write_csv}[suffix](path, rows)
    del rows
    tracemalloc.start()
    try:
        number = sum(1 for _ in read_records(path, SET_FIELDS))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == 20_000
    assert peak < 6_000_000  # the titles alone have 8 MB
