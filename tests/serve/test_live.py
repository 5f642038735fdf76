"""Upserts and deletions over HTTP: found at once, gone at once, kept, and refused with the place of the fault."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.live.log import log_path
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.keys import Key

from ..conftest import DIM, settled
from .conftest import PRODUCTS, client_in_process

Talk = Callable[[httpx.AsyncClient], Awaitable[Any]]
Served = Callable[..., Any]

LINEN = {"item_id": "p-linen", "text": "white linen sunhat", "attributes": {"price": 30, "kind": "hat"}}


@pytest.fixture(scope="module")
def generator(shop: Workspace) -> Any:
    return Generator.func_or_class(AppArgs(workspace=str(shop.root)))


@pytest.fixture
def workspace(shop: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(shop.root, tmp_path / "shop")
    return Workspace(tmp_path / "shop")


@pytest.fixture
def served(workspace: Workspace, generator: Any, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Runs a conversation with the gateways of the workspace; gives its result."""

    def run(talk: Callable[..., Awaitable[Any]], *, keys: tuple[Key, ...] = ()) -> Any:

        async def talked() -> Any:
            async with client_in_process(
                generator, AppArgs(workspace=str(workspace.root)), monkeypatch, keys
            ) as client:
                return await talk(client)

        return asyncio.run(talked())

    return run


async def send(client: httpx.AsyncClient, path: str, body: Any, status: int = 200, **headers: str) -> Any:
    reply = await client.post(path, json=body, headers=headers)
    assert reply.status_code == status, reply.text
    return reply.json()


async def found(client: httpx.AsyncClient, query: str = "sunhat", **fields: Any) -> dict[str, Any]:
    answer = await send(client, "/v1/retrieve", {"query": query, "method": "none", "k": 5, "total": 50, **fields})
    return {item["id"]: item for item in answer["items"]}


def test_an_upsert_is_found_at_once_and_a_deletion_is_gone_at_once(served: Served, workspace: Workspace) -> None:
    async def talk(client: httpx.AsyncClient) -> Any:
        assert list(await found(client)) != list(PRODUCTS)
        written = await send(client, "/v1/admin/upsert", {"pool": "items", "records": [LINEN]}, **{"X-Request-ID": "w"})
        assert written == {"request_id": "w", "changed": 1, "unknown": [], "generation": 0, "sequence": 1}
        first = next(iter((await found(client, with_payload=True)).values()))
        assert (first["id"], first["text"]) == ("p-linen", "white linen sunhat")
        assert first["payload"] == LINEN["attributes"]
        hats = await found(client, filter={"eq": ["kind", "hat"]})
        assert [*hats] == ["p-linen"]
        like = await send(client, "/v1/retrieve", {"like": ["p-linen"], "k": 1, "n": 3})
        assert "p-linen" not in {item["id"] for item in like["items"]}
        changed = {**LINEN, "item_id": "p0", "text": "knitted sunhat", "attributes": {"kind": "hat"}}
        assert (await send(client, "/v1/admin/upsert", {"pool": "items", "records": [changed]}))["sequence"] == 2
        after = await found(client, filter={"eq": ["kind", "hat"]}, max_per={"attribute": "kind", "n": 5})
        assert {name: item["text"] for name, item in after.items()} == {
            "p-linen": LINEN["text"], "p0": "knitted sunhat"
        }  # fmt: skip
        assert len(await found(client)) == len(PRODUCTS) + 1
        gone = await send(client, "/v1/admin/delete", {"pool": "items", "ids": ["p-linen", "p1", "p-none"]})
        assert (gone["changed"], gone["unknown"], gone["sequence"]) == (2, ["p-none"], 3)
        left = await found(client)
        assert {"p-linen", "p1"}.isdisjoint(left)
        assert len(left) == len(PRODUCTS) - 1
        items = {name: await client.get(f"/v1/items/{name}") for name in ("p-linen", "p1", "p0")}
        assert [reply.status_code for reply in items.values()] == [404, 404, 200]
        assert items["p0"].json()["text"] == "knitted sunhat"
        index = (await client.get("/v1/index")).json()
        assert (index["tasks"]["oar"]["size"], index["sequence"]) == (len(PRODUCTS) - 1, 3)
        vectors = np.eye(2, DIM).tolist()
        hits = (await send(client, "/v1/search", {"vectors": vectors, "n": 50}))["results"]
        assert [{item["id"] for item in items} for items in hits] == [set(left)] * 2
        return await send(client, "/v1/retrieve", {"query": "hat", "k": 3, "n": 4, "min_relevance": 50, "dedupe": True})

    answer = served(talk)
    assert (answer["generation"], answer["sequence"]) == (0, 3)
    assert len(answer["items"]) <= 8
    local = Retriever(workspace.root).retrieve("hat", k=3, n=4, min_relevance=50, dedupe=True)
    assert settled(answer) == settled(local)


def test_acknowledged_changes_are_there_after_a_restart(served: Served, workspace: Workspace) -> None:
    records = [{"item_id": f"n{at}", "text": f"straw hat {at}"} for at in range(5)]

    async def change(client: httpx.AsyncClient) -> None:
        await asyncio.gather(
            *(send(client, "/v1/admin/upsert", {"pool": "items", "records": [one]}) for one in records)
        )
        await send(client, "/v1/admin/delete", {"pool": "items", "ids": ["n3"]})

    served(change)
    log_path(workspace).write_bytes(log_path(workspace).read_bytes() + b'{"change": "up')
    assert set(served(found)) == {*PRODUCTS, "n0", "n1", "n2", "n4"}


def test_only_a_key_of_the_scope_admin_changes_entries(served: Served, workspace: Workspace) -> None:
    keys = tuple(Key(scope, hashlib.sha256(scope.encode()).hexdigest()) for scope in ("read", "admin"))  # type: ignore[arg-type]
    upsert, delete = {"pool": "items", "records": [LINEN]}, {"pool": "items", "ids": ["p0"]}

    async def talk(client: httpx.AsyncClient) -> None:
        for path, body in (("/v1/admin/upsert", upsert), ("/v1/admin/delete", delete)):
            assert (await send(client, path, body, 401))["error"]["got"] == "no valid API key"
            refused = await send(client, path, body, 403, Authorization="Bearer read")
            assert refused["error"]["expected"] == "a key of the scope admin"
            assert not log_path(workspace).exists()
        await send(client, "/v1/admin/upsert", upsert, Authorization="Bearer admin")

    served(talk, keys=keys)


def test_a_client_sees_a_swap_of_the_generation(served: Served) -> None:
    async def generations(client: httpx.AsyncClient) -> list[int]:
        """The generation that each kind of answer names."""
        asked = [
            await send(client, "/v1/retrieve", {"query": "hat", "k": 1}),
            await send(client, "/v1/fanout", {"query": "hat", "k": 1}),
            await send(client, "/v1/search", {"vectors": np.eye(1, DIM).tolist()}),
            *[(await client.get(path)).json() for path in ("/v1/items/p0", "/v1/index")],
        ]
        return [answer["generation"] for answer in asked]

    async def talk(client: httpx.AsyncClient) -> None:
        await send(client, "/v1/admin/upsert", {"pool": "items", "records": [LINEN]})
        saved = await send(client, "/v1/admin/snapshot", None)
        assert (saved["generation"], saved["saved"], saved["generations"]) == (1, 1, [0, 1])
        assert await generations(client) == [1] * 5
        assert "p-linen" in await found(client)
        refused = await send(client, "/v1/admin/activate", {"generation": 7}, 422)
        assert refused["error"]["where"] == "generation"
        assert (await send(client, "/v1/admin/activate", {"generation": 0}))["saved"] is None
        assert await generations(client) == [0] * 5
        assert set(await found(client)) == set(PRODUCTS)
        await send(client, "/v1/admin/activate", {"generation": 1})
        assert "p-linen" in await found(client)

    served(talk)


BAD: list[tuple[str, Any, int, str]] = [
    ("upsert", {"pool": "items", "records": [LINEN, {"item_id": "x"}]}, 422, "records.1"),
    ("upsert", {"pool": "items", "records": [LINEN, LINEN]}, 422, "records.1"),
    ("upsert", {"pool": "items", "records": [{**LINEN, "text": ""}]}, 422, "records.0"),
    ("upsert", {"pool": "items", "records": []}, 422, "records"),
    ("upsert", {"pool": "items", "records": [LINEN] * 257}, 422, "records"),
    ("upsert", {"pool": "items", "records": [3]}, 422, "records.0"),
    ("upsert", {"pool": "items", "records": [{**LINEN, "text": "x" * 200_000}]}, 413, "body of POST /v1/admin/upsert"),
    ("upsert", {"pool": "items", "records": [{**LINEN, "embedding": [1, 0]}]}, 422, "records"),
    ("upsert", {"pool": "outfits", "records": [LINEN]}, 422, "pool"),
    ("upsert", {"pool": "sets", "records": [{"set_id": "s", "title": "t", "item_ids": ["p0"]}]}, 422, "pool"),
    ("delete", {"pool": "items", "ids": []}, 422, "ids"),
    ("delete", {"pool": "items", "ids": [""]}, 422, "ids.0"),
    ("delete", {"pool": "items"}, 422, "ids"),
    ("activate", {"generation": -1}, 422, "generation"),
    ("activate", {}, 422, "body"),
]


def test_bad_changes_are_refused_with_their_place(served: Served, workspace: Workspace) -> None:
    async def talk(client: httpx.AsyncClient) -> list[Any]:
        return [(await send(client, f"/v1/admin/{path}", body, status))["error"] for path, body, status, _ in BAD]

    errors = served(talk)
    assert [error["where"] for error in errors] == [where for *_, where in BAD]
    assert all(error["fix"] for error in errors)
    path = log_path(workspace)
    assert not path.exists() or len(path.read_bytes().splitlines()) == 1


def test_own_vectors_are_taken_as_they_are(served: Served, workspace: Workspace, generator: Any) -> None:
    encoder = generator._loaded[str(workspace.root)].encoder
    given = encoder._encoder._model.encode(["a red scarf"], "document")[0]

    async def talk(client: httpx.AsyncClient) -> list[str]:
        record = {"item_id": "own", "text": "a red scarf", "embedding": given.tolist()}
        await send(client, "/v1/admin/upsert", {"pool": "items", "records": [record]})
        vector = encoder.encode(["a red scarf"], "document")[0].tolist()
        hits = await send(client, "/v1/search", {"vectors": [vector], "n": 1})
        return [(item["id"], round(item["score"], 4)) for item in hits["results"][0]]

    assert served(talk) == [("own", 1.0)]
