"""The application over a catalogue that has only items, such as the products of a shop: OAR searches the items."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import AppArgs, build_app

from ..conftest import settled
from .conftest import PRODUCTS, client_in_process


def test_the_server_answers_with_items_and_offers_oar_alone(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    args = AppArgs(workspace=str(shop.root))
    build_app(args)
    body = {"query": "something red", "k": 3, "n": 4, "like": ["p1"], "avoid": ["p0"]}

    async def replies() -> tuple[httpx.Response, ...]:
        async with client_in_process(None, args, monkeypatch) as client:
            asked = [client.post("/v1/retrieve", json=body | {"task": task}) for task in (None, "wscr")]
            return tuple(await asyncio.gather(*asked, client.get("/healthz"), client.get("/")))

    answer, refused, health, page = asyncio.run(replies())
    assert settled(answer.json()) == settled(Retriever(shop.root).answer(parse_request(**body)))
    assert answer.json()["task"] == "oar"
    assert [len(direction["items"]) for direction in answer.json()["directions"]] == [4, 4, 4]
    found = {item["id"]: item["text"] for item in answer.json()["items"]}
    assert found.items() <= PRODUCTS.items()
    assert "p0" not in found
    assert (refused.status_code, refused.json()["error"]["expected"]) == (422, "one of oar")
    assert (health.json()["default_task"], list(health.json()["tasks"])) == ("oar", ["oar"])
    assert '<option value="oar">' in page.text
    assert '<option value="wscr">' not in page.text
