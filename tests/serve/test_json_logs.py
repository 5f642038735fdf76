"""The line that the gateway logs for each request: what it has, and what it never has."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from typing import Any

import pytest
from ray._common.formatters import JSONFormatter

from r4t_ray.artifacts import Workspace
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.keys import Key

from .conftest import client_in_process

KEYS = (Key("read", hashlib.sha256(b"the-key").hexdigest()),)
SECRETS = ("the-key", "the-query", "the-like", "the-path", "the-item", "the-parameter")


class Lines(logging.Handler):
    """Keeps what Serve's handler would write."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


def logged(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *, json_logs: bool) -> list[dict[str, Any]]:
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/retrieve", {"json": {"query": "the-query", "like": ["the-like"], "k": 2, "method": "mmr"}}),
        ("POST", "/v1/fanout", {"json": {"query": "the-query", "k": 2}}),
        ("POST", "/v1/retrieve", {"json": {"query": "the-query", "k": 99}}),
        ("GET", "/v1/items/the-item?task=the-parameter", {}),
        ("GET", "/the-path", {}),
    ]

    async def send() -> None:
        args = AppArgs(workspace=str(workspace.root), json_logs=json_logs)
        generator = Generator.func_or_class(args)
        async with client_in_process(generator, args, monkeypatch, KEYS) as client:
            for number, (method, path, options) in enumerate(asked):
                headers = {"X-Request-ID": f"r{number}", "Authorization": "Bearer the-key"}
                await client.request(method, path, headers=headers, **options)
            await client.get("/v1/index", headers={"Authorization": "Bearer the-key-is-wrong", "X-Request-ID": "r5"})

    handler, logger = Lines(), logging.getLogger("ray.serve")
    logger.addHandler(handler)
    try:
        asyncio.run(send())
    finally:
        logger.removeHandler(handler)
    return handler.lines


def test_one_line_a_request_without_what_a_client_wrote(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = logged(shop, monkeypatch, json_logs=True)
    names = ("request_id", "message", "path", "status", "task", "method", "partial")
    assert [tuple(line[name] for name in names) for line in lines] == [
        ("r0", "POST /v1/retrieve", "/v1/retrieve", 200, "oar", "mmr", False),
        ("r1", "POST /v1/fanout", "/v1/fanout", 200, "oar", "diffusion", None),
        ("r2", "POST /v1/retrieve", "/v1/retrieve", 422, None, None, None),
        ("r3", "GET /v1/items/{item_id:path}", "/v1/items/{item_id:path}", 422, None, None, None),
        ("r4", "GET other", "other", 404, None, None, None),
        ("r5", "GET other", "other", 401, None, None, None),
    ]
    assert all(0 < line["ms"] < 60_000 for line in lines)
    assert not [secret for secret in SECRETS if secret in json.dumps(lines)]


def test_text_logs_are_serves_own(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert logged(shop, monkeypatch, json_logs=False) == []
