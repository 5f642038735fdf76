"""A real server with two gateways changes its workspace under load: no request fails, and every answer is whole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever

from .test_live_faults import NUM_CLIENTS, server
from .test_versions import ASKED, parts_of


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shards", ["inline", "deployed"])
def test_no_request_fails_and_every_answer_is_of_one_workspace(old: Workspace, shards: str) -> None:
    roots = [old.root, old.root.parent / "new"]
    expected = {root.name: parts_of(Retriever(root).answer(parse_request(**ASKED)).model_dump()) for root in roots}

    def ask(url: str, stop: threading.Event) -> list[Any]:
        answers = []
        with httpx.Client(base_url=url, timeout=60) as client:
            while not stop.is_set():
                reply = client.post("/v1/retrieve", json=ASKED)
                assert reply.status_code == 200, reply.text
                answers.append(parts_of(reply.json()))
        return answers

    with server(old.root, shards) as (_, url), ThreadPoolExecutor(NUM_CLIENTS) as pool:
        stop = threading.Event()
        clients = [pool.submit(ask, url, stop) for _ in range(NUM_CLIENTS)]
        try:
            for name in ("new", "old", "new"):
                swapped = httpx.post(f"{url}/v1/admin/activate", json={"workspace": name}, timeout=120)
                assert swapped.status_code == 200, swapped.text
                for _ in range(8):  # two gateways answer by turns
                    assert parts_of(httpx.post(f"{url}/v1/retrieve", json=ASKED, timeout=60).json()) == expected[name]
        finally:
            stop.set()
        answers = [answer for client in clients for answer in client.result()]
    assert all(answer in expected.values() for answer in answers)
    assert all(answer in answers for answer in expected.values())
