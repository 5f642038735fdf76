"""The endpoints beside /v1/retrieve, and API keys, over one gateway in this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.keys import Key

from ..conftest import DIM, settled
from .conftest import PRODUCTS, client_in_process

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def generator(shop: Workspace) -> Any:
    return Generator.func_or_class(AppArgs(workspace=str(shop.root)))


@pytest.fixture
def ask(shop: Workspace, generator: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Sends requests to the gateway: (method, path, options) each; gives the replies."""

    def send(*requests: tuple[str, str, dict[str, Any]], keys: tuple[Key, ...] = ()) -> list[httpx.Response]:

        async def replies() -> list[httpx.Response]:
            args = AppArgs(workspace=str(shop.root))
            async with client_in_process(generator, args, monkeypatch, keys) as client:
                calls: list[Awaitable[httpx.Response]] = [
                    client.request(method, path, **options) for method, path, options in requests
                ]
                return list(await asyncio.gather(*calls))

        return asyncio.run(replies())

    return send


def post(path: str, body: Any, **headers: str) -> tuple[str, str, dict[str, Any]]:
    return "POST", path, {"json": body, "headers": headers}


def get(path: str, **headers: str) -> tuple[str, str, dict[str, Any]]:
    return "GET", path, {"headers": headers}


def test_each_request_of_a_batch_has_its_answer_or_error(shop: Workspace, generator: Any, ask: Ask) -> None:
    bodies = [{"query": "red", "k": 2, "n": 2}, {"query": "red", "k": 99}, {"k": 2}, {"query": "scarf", "k": 2, "n": 2}]
    passes: list[int] = []
    compute = generator._compute

    async def counted(requests: list[Any]) -> Any:
        passes.append(len(requests))
        return await compute(requests)

    generator._compute = counted
    (reply,) = ask(post("/v1/retrieve:batch", {"requests": bodies}, **{"X-Request-ID": "b"}))
    generator._compute = compute
    assert reply.status_code == 200, reply.text
    answers = reply.json()["answers"]
    assert [entry["status"] for entry in answers] == [200, 422, 422, 200]
    assert passes == [2]
    assert [entry["error"] and entry["error"]["where"] for entry in answers] == [None, "k", "query", None]
    assert [entry["answer"]["request_id"] for entry in (answers[0], answers[3])] == ["b/0", "b/3"]
    local = Retriever(shop.root)
    for at in (0, 3):
        expected = local.retrieve(**bodies[at])
        assert [item["id"] for item in answers[at]["answer"]["items"]] == [item.id for item in expected.items]


@pytest.mark.parametrize("body", [{"requests": []}, {"requests": [{"query": "red"}] * 65}, {}])
def test_a_batch_of_a_wrong_size_is_refused(ask: Ask, body: dict[str, Any]) -> None:
    (reply,) = ask(post("/v1/retrieve:batch", body))
    assert (reply.status_code, reply.json()["error"]["where"]) == (422, "requests")


def test_the_directions_alone_find_the_same_items_by_search(shop: Workspace, ask: Ask) -> None:
    body = {"query": "something red", "k": 3, "n": 4}
    (fanned,) = ask(post("/v1/fanout", body))
    directions = fanned.json()["directions"]
    vectors = np.array([direction["vector"] for direction in directions])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    # The length of a vector does not count.
    (found,) = ask(post("/v1/search", {"vectors": (3 * vectors).tolist(), "n": 4, "with_payload": True}))
    answer = Retriever(shop.root).retrieve(**body)
    assert [[item["id"] for item in row] for row in found.json()["results"]] == [
        [item.id for item in direction.items] for direction in answer.directions
    ]
    assert [item["score"] for item in found.json()["results"][0]] == pytest.approx(
        [item.score for item in answer.directions[0].items], abs=1e-5
    )
    assert [direction["groundedness"] for direction in directions] == pytest.approx(
        [one.groundedness for one in answer.directions], abs=1e-6
    )
    assert found.json()["results"][0][0]["payload"] == {}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"vectors": [[1.0, 0.0]]}, "vectors.0"),
        ({"vectors": [[1.0] * DIM, [0.0] * DIM]}, "vectors.1"),
        ({"vectors": []}, "vectors"),
        ({"vectors": [[1.0] * DIM] * 65}, "vectors"),
        ({"vectors": [["1"] * DIM]}, "vectors.0.0"),
        ({"vectors": [[True] * DIM]}, "vectors.0.0"),
        ({"vectors": [[1.0] * DIM], "n": 0}, "n"),
        ({"vectors": [[1.0] * DIM], "filter": {"exists": "colour"}}, "filter.exists"),
        ({"vectors": [[1.0] * DIM], "task": "wscr"}, "task"),
    ],
)
def test_a_wrong_search_is_refused(ask: Ask, body: dict[str, Any], where: str) -> None:
    (reply,) = ask(post("/v1/search", body))
    assert (reply.status_code, reply.json()["error"]["where"]) == (422, where)


SOME = {"vectors": [[1.0] * DIM]}


@pytest.mark.parametrize(
    ("path", "body", "where", "expected"),
    [
        ("search", {**SOME, "top": 3}, "top", "one of vectors, task, n, filter, with_payload"),
        ("search", {**SOME, "filter": {"range": ["a", {"over": 3}]}}, "filter.range.1.over", "one of gte, gt, lte, lt"),
        ("search", None, "body", "a JSON object in UTF-8, sent as application/json with vectors, task, n, filter, "),
        ("retrieve", None, "body", "a JSON object in UTF-8, sent as application/json with query, k, n, total, "),
        ("retrieve:batch", {"requests": [{"query": "red"}], "k": 3}, "k", "one of requests"),
        ("admin/delete", {"pool": "items", "ids": ["p0"], "id": 1}, "id", "one of pool, ids"),
        ("admin/upsert", None, "body", "a JSON object in UTF-8, sent as application/json with pool, records"),
        ("admin/activate", {}, "body", "either a generation or a workspace"),
        ("admin/activate", {"generation": 0, "workspace": "x"}, "body", "either a generation or a workspace"),
    ],
)
def test_an_error_names_the_fields_of_its_own_endpoint(
    ask: Ask, path: str, body: Any, where: str, expected: str
) -> None:
    (reply,) = ask(("POST", f"/v1/{path}", {} if body is None else {"json": body}))
    error = reply.json()["error"]
    assert (reply.status_code, error["where"]) == (422, where)
    assert error["expected"].startswith(expected)


def test_many_vectors_may_be_longer_than_other_bodies(ask: Ask) -> None:
    body, headers = json.dumps({"vectors": [[1.0] * DIM] * 64, "n": 1}).encode(), {"Content-Type": "application/json"}
    padded = [("POST", "/v1/search", {"content": body.ljust(size), "headers": headers}) for size in (2**23, 2**23 + 1)]
    found, refused = ask(*padded)
    assert (found.status_code, len(found.json()["results"])) == (200, 64)
    assert refused.status_code == 413
    assert refused.json()["error"]["fix"] == "send less in one request"


def test_the_length_of_a_vector_may_be_any_number(ask: Ask) -> None:
    found = ask(*(post("/v1/search", {"vectors": [[size] * DIM], "n": 3}) for size in (1.0, 1e308, 1e-320, 5e-324)))
    assert [reply.status_code for reply in found] == [200] * 4
    assert all(reply.json()["results"] == found[0].json()["results"] for reply in found)


def test_items_the_index_and_the_health_checks(ask: Ask) -> None:
    item, missing, other, index, live, ready, schema = ask(
        get("/v1/items/p3/"), get("/v1/items/p99"), get("/v1/items/p3?task=wscr"), get("/v1/index"), get("/livez"),
        get("/readyz"), get("/openapi.json"),
    )  # fmt: skip
    assert item.json().items() >= {"id": "p3", "text": PRODUCTS["p3"], "task": "oar", "payload": {}}.items()
    assert (missing.status_code, missing.json()["error"]["where"]) == (404, "GET /v1/items/p99")
    assert missing.json()["error"]["expected"] == "the id of an entry"
    assert other.status_code == 422
    pool = index.json()["tasks"]["oar"]
    assert (pool["size"], pool["dim"], pool["type"], pool["shards"]) == (len(PRODUCTS), DIM, "flat", 2)
    assert (live.status_code, ready.status_code) == (200, 200)
    for reply in (item, index, missing):
        assert reply.json()["request_id"] == reply.headers["x-request-id"]
    references = {part["$ref"] for part in _references(schema.json())}
    assert all(name.rsplit("/", 1)[1] in schema.json()["components"]["schemas"] for name in references)


def _references(part: Any) -> list[dict[str, str]]:
    inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    own = [part] if isinstance(part, dict) and isinstance(part.get("$ref"), str) else []
    return own + [found for one in inside for found in _references(one)]


READ, ADMIN, OLD = "read-secret", "admin-secret", "old-secret"
KEYS = tuple(
    Key(scope, hashlib.sha256(text.encode()).hexdigest())  # type: ignore[arg-type]
    for scope, text in (("read", OLD), ("read", READ), ("admin", ADMIN))
)


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/v1/index", None, 401),
        ("/v1/index", "Bearer wrong", 401),
        ("/v1/index", f"Basic {READ}", 401),
        ("/v1/index", "Bearer ", 401),
        ("/v1/index", f"Bearer {KEYS[1].sha256}", 401),
        ("/v1/index/", f"Bearer {READ}", 200),
        ("/v1/index", f"bearer {OLD}", 200),
        ("/v1/index", f"Bearer {ADMIN}", 200),
        ("/v1/admin/snapshot", f"Bearer {READ}", 403),
        ("/v1/admin/snapshot", f"Bearer {ADMIN}", 405),
        ("/livez", None, 200),
        ("/docs", None, 200),
        ("/nowhere", None, 401),
    ],
)
def test_what_a_key_opens(
    ask: Ask, path: str, token: str | None, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    (reply,) = ask(get(path, **({"Authorization": token} if token else {})), keys=KEYS)
    assert reply.status_code == status
    if status >= 400:
        assert set(reply.json()["error"]) == {"where", "got", "expected", "fix"}
        assert reply.json()["request_id"] == reply.headers["x-request-id"]
    assert ("www-authenticate" in reply.headers) == (status == 401)
    assert "secret" not in caplog.text + reply.text


def test_an_answer_with_a_key_is_the_answer_without(ask: Ask) -> None:
    body = {"query": "a blue scarf", "k": 2, "n": 2}
    (closed,) = ask(post("/v1/retrieve", body, Authorization=f"Bearer {READ}"), keys=KEYS)
    (free,) = ask(post("/v1/retrieve", body))
    assert settled(closed.json()) == settled(free.json())


def test_the_client_has_a_call_for_each_endpoint(
    shop: Workspace, generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from r4t_ray.client import AsyncClient
    from r4t_ray.serve.gateway import api

    local = Retriever(shop.root).retrieve("a red scarf", k=2, n=3)

    async def ask_all() -> None:
        args = AppArgs(workspace=str(shop.root))
        async with (
            client_in_process(generator, args, monkeypatch, KEYS),
            AsyncClient("http://test", api_key=READ) as client,
        ):
            client._options["transport"] = httpx.ASGITransport(app=api)
            answer = await client.retrieve("a red scarf", k=2, n=3)
            assert [item.id for item in answer.items] == [item.id for item in local.items]
            batch = await client.retrieve_batch([{"query": "a red scarf", "k": 2, "n": 3}, {"query": "x", "k": 99}])
            assert [entry.status for entry in batch.answers] == [200, 422]
            assert batch.answers[0].answer is not None
            assert [item.id for item in batch.answers[0].answer.items] == [item.id for item in local.items]
            fanned = await client.fanout("a red scarf", k=2)
            assert [one.label for one in fanned.directions] == [one.label for one in local.directions]
            found = await client.search([one.vector for one in fanned.directions], n=3, with_payload=True)
            assert [[item.id for item in row] for row in found.results] == [
                [item.id for item in one.items] for one in local.directions
            ]
            with pytest.raises(RequestError, match=r"vectors: got .*expected vectors of one width"):
                await client.search([[1.0], [1.0, 2.0]])
            with pytest.raises(RequestError, match=r"n: got 0"):
                await client.search([[1.0]], n=0)
            with pytest.raises(RequestError, match=r"fields: got k; expected none beside a RetrieveRequest"):
                await client.retrieve(parse_request(query="x"), k=2)
            assert (await client.item("p3")).text == PRODUCTS["p3"]
            for other in ("a/b ?c", "p3/", "p3//", "/"):
                with pytest.raises(RequestError, match=re.escape(f"got no entry {other!r}")):
                    await client.item(other, task="oar")
            assert (await client.index()).tasks["oar"].size == len(PRODUCTS)

    asyncio.run(ask_all())
