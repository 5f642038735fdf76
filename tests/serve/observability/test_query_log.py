"""The log of queries: whole lines in every case, and read back by `catalogue.queries` and `r4t drift --queries`."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_items, load_sets, read_query_texts
from r4t_ray.catalogue.catalogue import Catalogue
from r4t_ray.catalogue.queries.log import read_log
from r4t_ray.errors import ConfigError
from r4t_ray.serve.app import absolute_log
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.observability.query_log import append_line

from ..conftest import client_in_process

Served = tuple[list[httpx.Response], Any]


@pytest.fixture
def served(shop: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Served]:
    """Sends (path, body, request id) to a gateway that logs to queries.jsonl; gives the replies and the log."""
    args = AppArgs(workspace=str(shop.root), query_log=tmp_path / "queries.jsonl")

    def send(*asked: tuple[str, dict[str, Any], str]) -> Served:
        async def replies() -> Served:
            generator = Generator.func_or_class(args)
            async with client_in_process(generator, args, monkeypatch) as client:
                found = [
                    await client.post(path, json=body, headers={"X-Request-ID": request_id})
                    for path, body, request_id in asked
                ]
                log = serve.get_replica_context().servable_object._query_log
                log.flush()
                return found, log

        return asyncio.run(replies())

    return send


def test_answered_queries_come_back_through_the_real_readers(
    served: Callable[..., Served], shop: Workspace, tmp_path: Path
) -> None:
    text = "a réd scarf\n for 'him'"
    replies, _ = served(
        ("/v1/retrieve", {"query": f"  {text} ", "k": 2}, "same"),
        ("/v1/retrieve", {"query": text, "k": 2}, "same"),
        ("/v1/retrieve", {"query": "refused", "k": 99}, "other"),
        ("/v1/retrieve", {"like": ["p3"], "k": 2}, "no-query"),
        ("/v1/retrieve:batch", {"requests": [{"query": "one", "k": 2}, {"query": "two", "k": 99}]}, "batch"),
    )
    assert [reply.status_code for reply in replies] == [200, 200, 422, 200, 200]
    path = tmp_path / "queries.jsonl"
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [(one["request_id"], one["text"], one["task"]) for one in records] == [
        ("same", text, "oar"),
        ("same", text, "oar"),
        ("batch/0", "one", "oar"),
    ]
    assert all(0 <= (datetime.now(UTC) - datetime.fromisoformat(one["time"])).total_seconds() < 60 for one in records)
    assert path.stat().st_mode & 0o777 == 0o600
    lines = read_log(path, Catalogue(items=tuple(load_items(shop)), sets=tuple(load_sets(shop))))
    assert [(line.query_id, line.text, line.tasks) for line in lines] == [
        (record["query_id"], " ".join(record["text"].split()), ("oar",)) for record in records
    ]
    assert read_query_texts(path, "oar") == [text, text, "one"]
    assert read_query_texts(path, "wscr") == []


def test_a_full_disk_fails_no_request_and_leaves_no_half_line(
    served: Callable[..., Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, written = os.write, 0

    def fill_up(descriptor: int, line: bytes) -> int:
        nonlocal written
        if not line.startswith(b'{"query_id"'):
            return real(descriptor, line)
        written += 1
        if written == 2:
            return real(descriptor, line[:20])
        if written == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, line)

    monkeypatch.setattr(os, "write", fill_up)
    replies, _ = served(*(("/v1/retrieve", {"query": f"scarf {n}", "k": 2}, f"r{n}") for n in range(4)))
    assert [reply.status_code for reply in replies] == [200] * 4
    assert written == 4
    assert read_query_texts(tmp_path / "queries.jsonl", "oar") == ["scarf 0", "scarf 3"]
    assert [message for message in caplog.messages if "query log" in message] == [
        f"query log {tmp_path / 'queries.jsonl'}: lines are lost: [Errno 28] No space left on device: "
        f"'{tmp_path / 'queries.jsonl'}'"
    ]


def test_a_moved_file_is_opened_again_and_writers_share_it(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    append_line(path, b"first\n")
    path.rename(tmp_path / "queries-1.jsonl")
    lines = {b"%d" % writer * 2_000 + b"\n" for writer in range(8)}
    writers = [Thread(target=lambda line=line: [append_line(path, line) for _ in range(20)]) for line in lines]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = path.read_bytes().splitlines(keepends=True)
    assert len(found) == 160
    assert set(found) == lines
    assert (tmp_path / "queries-1.jsonl").read_bytes() == b"first\n"


def test_the_path_of_the_log_is_checked_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_log(Path("queries.jsonl")) == tmp_path / "queries.jsonl"
    (tmp_path / "folder.jsonl").mkdir()
    for wrong in ("queries.log", "missing/queries.jsonl", "folder.jsonl"):
        with pytest.raises(ConfigError, match=r"serve.query_log: .*a file NAME\.jsonl in a folder that exists"):
            absolute_log(Path(wrong))
