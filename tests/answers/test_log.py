"""A log in every form gives the same copy; a wrong record is named with its place; memory does not hold the log."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.answers import log as module
from r4t_ray.answers.log import copy_log, sha256_of_log
from r4t_ray.errors import DataError, R4TError, RequestError
from r4t_ray.retrieval.open_task import OpenTask, Pool
from r4t_ray.retrieval.request import MAX_QUERY_CHARS, parse_request
from r4t_ray.retrieval.response import ModelInfo

RECORDS = [
    {"query_id": "q1", "text": "a warm soup", "task": "wscr"},
    {"query_id": None, "text": " tea, and\ncake ", "task": None},
    {"query_id": "7", "text": "Crème brûlée", "task": "oar"},
]
COPIED = [
    {"row": 0, "query_id": "q1", "text": "a warm soup", "task": "wscr"},
    {"row": 1, "query_id": None, "text": "tea, and\ncake", "task": "oar"},
    {"row": 2, "query_id": "7", "text": "Crème brûlée", "task": "oar"},
]


def served(task: str, solver: str = "heun") -> OpenTask:
    model = ModelInfo(encoder="", index="", diffusion="", num_rows=6, solver=solver, num_steps=2, guidance=0.0)
    return OpenTask(task=task, pool=Pool(ids=[], texts=[]), model=model)


def copied(path: Path, copy: Path, queries_per_file: int = 2, **fields: Any) -> list[dict[str, Any]]:
    template = parse_request(**({"query": "any", "task": "oar", "k": 4} | fields))
    tasks = {"oar": served("oar"), "wscr": served("wscr", "one_step")}
    num = copy_log(path, copy, template=template, tasks=tasks, queries_per_file=queries_per_file)
    file = pq.ParquetFile(copy)
    assert file.num_row_groups == -(-num // queries_per_file)
    return file.read().to_pylist()


def json_lines(records: list[dict[str, Any]]) -> str:
    given = ({key: value for key, value in row.items() if value is not None} for row in records)
    return "\n".join(map(json.dumps, given))


def as_json_lines(folder: Path) -> Path:
    (folder / "log.jsonl").write_text(json_lines(RECORDS))
    return folder / "log.jsonl"


def as_parquet(folder: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(RECORDS), folder / "log.parquet")
    return folder / "log.parquet"


def as_csv(folder: Path) -> Path:
    text = 'query_id,task,text\nq1,wscr,a warm soup\n,," tea, and\ncake "\n7,oar,Crème brûlée\n'
    (folder / "log.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder / "log.csv.gz"


def as_folder_of_parts(folder: Path) -> Path:
    (folder / "parts").mkdir()
    (folder / "parts" / "_SUCCESS").write_text("")
    (folder / "parts" / "part-0.jsonl").write_text(json_lines(RECORDS[:1]))
    pq.write_table(pa.Table.from_pylist(RECORDS[1:]), folder / "parts" / "part-1.parquet")
    return folder / "parts"


def as_glob(folder: Path) -> Path:
    as_folder_of_parts(folder)
    return folder / "parts" / "part-*"


@pytest.mark.parametrize("write", [as_json_lines, as_parquet, as_csv, as_folder_of_parts, as_glob])
def test_every_form_gives_the_same_queries(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    assert copied(path, tmp_path / "copy.parquet") == COPIED
    assert len(sha256_of_log(path)) == 64


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_a_text_file_has_a_query_per_line(tmp_path: Path, suffix: str) -> None:
    path, text = tmp_path / f"log{suffix}", b"tea \n\nwarm soup, {bread}\n"
    path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    rows = copied(path, tmp_path / "copy.parquet")
    assert [(row["row"], row["query_id"], row["text"]) for row in rows] == [
        (0, None, "tea"),
        (1, None, "warm soup, {bread}"),
    ]
    assert len(sha256_of_log(path)) == 64


@pytest.mark.parametrize(
    ("lines", "fields", "expected"),
    [
        (['{"text": "tea"}', '{"text": "  "}'], {}, r"log\.jsonl:2: got text = '  '; expected .*at least 1 char"),
        (['{"text": "tea"}', "", '{"query_id": 3}'], {}, r"log\.jsonl:3: got no field 'text'"),
        ([json.dumps({"text": "x" * (MAX_QUERY_CHARS + 1)})], {}, r"log\.jsonl:1: got .*\(2,001 characters\).*fewer"),
        (['{"text": "tea", "task": "art"}'], {}, r"log\.jsonl:1: got task = 'art'; expected one of oar, wscr"),
        (['{"text": "a", "query_id": "a\\nb"}'], {}, r"log\.jsonl:1: got query_id .* with a line break"),
        (['{"text": "a", "query_id": 1}', '{"text": "b", "query_id": "1"}'], {}, r":2: got .*'1' again, after .*:1"),
        (['{"text": "tea"'], {}, r"log\.jsonl:1: got invalid JSON"),
        (["", ""], {}, r"log\.jsonl: got no queries"),
        (['{"text": "tea"}'], {"k": 7}, r"k: got 7; expected 1 to 6"),
        (['{"text": "tea"}'], {"method": "folm"}, r"method: got folm; .*this process deploys no language model"),
        (['{"text": "tea", "task": "wscr"}'], {"guidance": 2.0}, r"guidance: got 2.0"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, lines: list[str], fields: dict[str, Any], expected: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    kind: type[R4TError] = RequestError if fields else DataError
    with pytest.raises(kind, match=expected):
        copied(path, tmp_path / "copy.parquet", **fields)


def test_ids_whose_hashes_are_equal_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"text": "a", "query_id": "1"}\n{"text": "b", "query_id": "2"}\n')
    monkeypatch.setattr(module, "_hash", lambda query_id: 5)
    assert [row["query_id"] for row in copied(path, tmp_path / "copy.parquet")] == ["1", "2"]


def test_memory_does_not_hold_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num, chars = 1_000, 1_500
    records = ((f"log.jsonl:{at}", {"text": f"{at} " + "x" * chars, "query_id": str(at)}) for at in range(num))
    monkeypatch.setattr(module, "read_records", lambda path, fields: records)
    template, tasks = parse_request(query="any", task="oar", k=4), {"oar": served("oar")}
    tracemalloc.start()
    try:
        path, copy = tmp_path / "log.jsonl", tmp_path / "copy.parquet"
        assert copy_log(path, copy, template=template, tasks=tasks, queries_per_file=16) == num
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < num * chars / 4
