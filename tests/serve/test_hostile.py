"""Hostile requests get an answer or a 4xx in the JSON form, soon. No request may crash or block the gateway."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator

from .conftest import client_in_process
from .hostile import GROUPS, Sent
from .test_http import assert_form

SECONDS = 30
"""In which a request must be answered on a busy machine."""
MAX_ERROR_BYTES = 4_000


@pytest.fixture(scope="module")
def generator(tiny_workspace: Workspace) -> Any:
    return Generator.func_or_class(AppArgs(workspace=str(tiny_workspace.root)))


def require_number(word: str) -> None:
    raise AssertionError(f"{word} in JSON")


def check(sent: Sent, reply: httpx.Response) -> None:
    """An answer in strict JSON, or a 4xx in the JSON form that repeats little of the request."""
    assert reply.status_code < 500
    assert all("\n" not in value and "\r" not in value for value in reply.headers.values())
    assert "x-evil" not in reply.headers
    if reply.status_code >= 400 and sent[0] != "HEAD":
        assert_form(reply)
        assert len(reply.content) <= MAX_ERROR_BYTES
    elif reply.headers.get("content-type") == "application/json" and reply.content:
        json.loads(reply.content, parse_constant=require_number)


@pytest.mark.parametrize("group", GROUPS)
def test_a_hostile_request_is_answered(
    tiny_workspace: Workspace, generator: Any, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    args, faults = AppArgs(workspace=str(tiny_workspace.root), deadline_s=SECONDS), []

    async def ask_all() -> int:
        async with client_in_process(generator, args, monkeypatch) as client:
            good = client.build_request("POST", "/v1/retrieve", json={"query": "soup", "k": 2})
            for number, (method, path, options) in enumerate(GROUPS[group]()):
                try:
                    check(
                        (method, path, options),
                        await asyncio.wait_for(client.request(method, path, **options), SECONDS),
                    )
                except Exception as fault:
                    faults.append(f"{number}: {method} {path[:80]} {options!r:.200}: {fault!r:.300}")
            return (await client.send(good)).status_code

    assert asyncio.run(ask_all()) == 200
    assert not faults, "\n".join(faults)
