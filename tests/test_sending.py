"""What `r4t add --url` and `r4t remove` send to a server, and how they name the record that it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray import cli
from r4t_ray.cli.sending import MOST_BYTES, MOST_RECORDS
from r4t_ray.errors import ConfigError, DataError, RequestError
from r4t_ray.retrieval.client import Client
from r4t_ray.retrieval.client.calls import Call
from r4t_ray.retrieval.messages import IndexResponse
from r4t_ray.retrieval.response import ChangeResponse


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The requests in place of a server, which refuses the text "bad" and knows no id that begins with x."""
    requests: list[tuple[str, dict[str, Any]]] = []

    def ask(self: Any, call: Call[Any]) -> Any:
        if call.path == "/v1/index":
            return IndexResponse(request_id="r", default_task="oar", tasks={}, embedding_field="vec")
        path, body = call.path, json.loads(json.dumps(call.body))
        requests.append((path, body))
        for at, record in enumerate(body.get("records", ())):
            if record.get("text") == "bad":
                raise RequestError(f"records.{at}", "a text", "another", "change it")
        entries = body.get("records") or body["ids"]
        unknown = [name for name in body.get("ids", ()) if name.startswith("x")]
        return ChangeResponse(request_id="r", changed=len(entries) - len(unknown), unknown=unknown, sequence=1)

    monkeypatch.setattr(Client, "_ask", ask)
    return requests


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(*arguments: Any) -> None:
    cli.app([str(one) for one in arguments], standalone_mode=False)


def test_a_file_is_sent_in_batches_that_a_request_takes(
    sent: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"item_id": f"i{at}", "text": "x" * 10, "attributes": {"a": [at]}, "left": 1} for at in range(300)]
    rows += [{"item_id": f"long{at}", "text": "y" * 40_000} for at in range(3)]
    sets = [{"set_id": "s", "title": "t", "item_ids": ["i0"]}]
    run(
        "add",
        "--url",
        "http://here",
        "--items",
        lines(tmp_path / "i.jsonl", rows),
        "--sets",
        lines(tmp_path / "s.jsonl", sets),
    )
    assert [(path, body["pool"], len(body.get("records", ()))) for path, body in sent] == [
        ("/v1/admin/upsert", "items", MOST_RECORDS),
        ("/v1/admin/upsert", "items", 300 - MOST_RECORDS + 2),
        ("/v1/admin/upsert", "items", 1),
        ("/v1/admin/upsert", "sets", 1),
    ]  # fmt: skip
    assert all(len(json.dumps(body)) < MOST_BYTES + 25_000 for _, body in sent)
    assert sent[0][1]["records"][0] == {"item_id": "i0", "text": "x" * 10, "attributes": {"a": [0]}}
    assert (
        capsys.readouterr().out == "http://here: 303 items added or replaced\nhttp://here: 1 sets added or replaced\n"
    )


def test_vectors_of_parquet_are_sent_as_lists(sent: list[Any], tmp_path: Path) -> None:
    emb = pa.FixedSizeListArray.from_arrays(pa.array(np.float32([1, 0, 0, 1])), 2)
    pq.write_table(pa.table({"item_id": ["a", "b"], "text": ["a", "b"], "vec": emb}), tmp_path / "i.parquet")
    run("add", "--url", "http://here", "--items", tmp_path / "i.parquet")
    assert [record["vec"] for record in sent[0][1]["records"]] == [[1, 0], [0, 1]]


def test_the_place_of_a_refused_record_is_that_of_its_file(sent: list[Any], tmp_path: Path) -> None:
    rows = [{"item_id": f"i{at}", "text": "bad" if at == 280 else "x"} for at in range(300)]
    with pytest.raises(RequestError, match=r"i.jsonl:281: got a text"):
        run("add", "--url", "http://here", "--items", lines(tmp_path / "i.jsonl", rows))
    with pytest.raises(DataError, match=r"no.jsonl"):
        run("add", "--url", "http://here", "--items", tmp_path / "no.jsonl")
    with pytest.raises(ConfigError, match="--items, --sets"):
        run("add", "--url", "http://here")


def test_removed_ids_are_read_line_by_line(sent: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ids.txt").write_text(
        "a\n\n b \nx1\nx2\n" + "".join(f"n{at}\n" for at in range(1_000)), encoding="utf-8"
    )
    run("remove", "--items", tmp_path / "ids.txt")
    assert [len(body["ids"]) for _, body in sent] == [1_000, 4]
    assert sent[0][1] == {"pool": "items", "ids": ["a", "b", "x1", "x2", *(f"n{at}" for at in range(996))]}
    assert (
        capsys.readouterr().out
        == "http://127.0.0.1:8000: 1002 items removed; 2 not there (gone before, or unknown), first 'x1'\n"
    )
    with pytest.raises(ConfigError, match="--items, --sets"):
        run("remove")
