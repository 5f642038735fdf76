"""How often a busy or lost call is tried, by both clients over the same scripted server and a clock of our own."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from r4t_ray.client import AsyncClient, Client
from r4t_ray.errors import DeadlineError, RequestError
from r4t_ray.retrieval.client import awaited, blocking, connection
from r4t_ray.retrieval.messages import IndexResponse

FAULT = {"error": {"where": "/v1/index", "got": "a full queue", "expected": "fewer", "fix": "try again"}}
FINE = {"status_code": 200, "json": {"request_id": "r", "default_task": "oar", "tasks": {}}}


def busy(status: int, retry_after: str | None = None) -> dict[str, Any]:
    return {"status_code": status, "json": FAULT, "headers": {"Retry-After": retry_after} if retry_after else {}}


Script = list[dict[str, Any] | Exception]
Ask = Callable[..., IndexResponse]


class Server:
    """Gives the replies of a script, and keeps the timeout of each request and each wait of the client."""

    def __init__(self, script: Script) -> None:
        self.script, self.now = list(script), 100.0
        self.timeouts: list[float] = []
        self.waits: list[float] = []

    def reply(self, request: httpx.Request) -> httpx.Response:
        self.timeouts.append(round(request.extensions["timeout"]["read"], 6))
        given = self.script.pop(0)
        if isinstance(given, Exception):
            raise given
        return httpx.Response(**given)

    def sleep(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture(params=["blocking", "awaited"])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks a server for its index, by one of the clients. Waits have their longest random length."""

    def send(server: Server, timeout_s: float) -> IndexResponse:
        async def sleep(seconds: float) -> None:
            server.sleep(seconds)

        monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: server.now))
        monkeypatch.setattr(connection, "random", SimpleNamespace(uniform=lambda low, high: high))
        monkeypatch.setattr(blocking, "time", SimpleNamespace(sleep=server.sleep))
        monkeypatch.setattr(awaited, "asyncio", SimpleNamespace(sleep=sleep, timeout=asyncio.timeout))
        options = {"transport": httpx.MockTransport(server.reply)}
        if request.param == "blocking":
            with Client("http://server", timeout_s) as client:
                client._options |= options
                return client.index()

        async def waited() -> IndexResponse:
            async with AsyncClient("http://server", timeout_s) as client:
                client._options |= options
                return await client.index()

        return asyncio.run(waited())

    return send


def test_a_busy_server_is_asked_again_after_the_time_that_it_asks_for(ask: Ask) -> None:
    server = Server([busy(429, "2"), busy(503), busy(503), FINE])
    assert ask(server, 30.0).default_task == "oar"
    assert server.waits == [2.2, 0.2, 0.4]  # 2 * 1.1; then 0.1 * 2 and 0.1 * 4
    assert server.timeouts == [30.0, 27.8, 27.6, 27.2]


def test_all_tries_share_the_time(ask: Ask) -> None:
    server = Server([busy(503, "1")] * 9)
    with pytest.raises(RequestError, match="got a full queue"):
        ask(server, 5.0)
    assert server.waits == [1.1] * 4  # 4.4 s, and 0.6 are left
    assert server.timeouts == [5.0, 3.9, 2.8, 1.7, 0.6]


def test_a_wait_that_is_longer_than_the_time_is_not_waited(ask: Ask) -> None:
    server = Server([busy(503, "40"), FINE])
    with pytest.raises(RequestError, match="got a full queue"):
        ask(server, 30.0)
    assert (server.waits, len(server.timeouts)) == ([], 1)


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 502, 504])
def test_other_errors_are_final(ask: Ask, status: int) -> None:
    server = Server([busy(status, "1"), FINE])
    with pytest.raises(DeadlineError if status == 504 else RequestError, match="got a full queue"):
        ask(server, 30.0)
    assert (server.waits, len(server.timeouts)) == ([], 1)


def test_a_lost_connection_is_tried_once_more(ask: Ask) -> None:
    lost = httpx.RemoteProtocolError("Server disconnected")
    assert ask(Server([lost, FINE]), 30.0).default_task == "oar"
    with pytest.raises(RequestError, match=r"no connection \(Server disconnected"):
        ask(Server([lost, lost, FINE]), 30.0)
    with pytest.raises(RequestError, match=r"no connection \(refused"):
        ask(Server([httpx.ConnectError("refused"), FINE]), 30.0)
    with pytest.raises(DeadlineError, match=r"http://server/v1/index: got no answer in 30 s"):
        ask(Server([httpx.ReadTimeout("late"), FINE]), 30.0)


def test_a_client_goes_to_another_process_without_its_connections() -> None:
    client = Client("http://127.0.0.1:9", api_key="k")
    client._options["transport"] = None
    assert client._http is client._http
    moved: Any = pickle.loads(pickle.dumps(client))
    assert "_http" not in moved.__dict__
    assert moved._options == client._options
    client.close()
