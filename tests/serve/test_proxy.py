"""The layer around Serve's proxy, over applications that answer as the proxy does."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from ray.serve._private.http_util import (
    RequestIdMiddleware,
    _apply_middlewares,
    convert_object_to_asgi_messages,
    validate_http_proxy_callback_return,
)
from ray.serve._private.utils import call_function_from_import_path
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from r4t_ray.serve.proxy.layers import LAYERS, ProxyErrors

AGAIN = "r4t_ray.serve.proxy.layers.AGAIN_S"


def reply_of(
    inner: Any, path: str = "/v1/retrieve", body: bytes | None = None, request_id: str = "abc-1"
) -> httpx.Response:
    """The reply of Serve's proxy with our layers, which calls ``inner``."""
    app = _apply_middlewares(inner, validate_http_proxy_callback_return(call_function_from_import_path(LAYERS)))

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            return await client.request(
                "GET" if body is None else "POST", path, content=body, headers={"X-Request-ID": request_id}
            )

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("status", "expected"), [(404, 404), (408, 504), (429, 429), (500, 503), (503, 503), (None, 503)]
)
def test_a_plain_error_of_the_proxy_gets_the_json_form(status: int | None, expected: int) -> None:
    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if status is not None:
            for message in convert_object_to_asgi_messages("secret traceback", status_code=status):
                await send(message)

    reply = reply_of(proxy)
    assert reply.status_code == expected
    assert set(reply.json()["error"]) == {"where", "got", "expected", "fix"}
    assert reply.json()["request_id"] == reply.headers["x-request-id"] == "abc-1"
    assert "secret" not in reply.text
    assert ("Retry-After" in reply.headers) == (expected in (429, 503))


@pytest.mark.parametrize("sent", ["abc-1", "x" * 500])
def test_a_reply_of_the_gateway_passes_with_one_id(sent: str) -> None:
    seen: list[str] = []

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(value.decode() for name, value in scope["headers"] if name == b"x-request-id")
        await JSONResponse({"error": {}}, 422, headers={"X-Request-ID": seen[0]})(scope, receive, send)

    reply = reply_of(RequestIdMiddleware(gateway), request_id=sent)
    assert (reply.status_code, reply.json()) == (422, {"error": {}})
    assert reply.headers.get_list("x-request-id") == seen
    assert (seen == [sent]) == (len(sent) <= 128)


class Dying:
    """A proxy whose gateway dies the first ``deaths`` times; the next one repeats the body.

    Args:
        deaths: Gateways that die.
        status: Status of the proxy's reply then; None ends without a reply.
    """

    def __init__(self, deaths: int, status: int | None = 500) -> None:
        self.deaths, self.status, self.bodies = deaths, status, list[bytes]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(await Request(scope, receive).body())
        if len(self.bodies) > self.deaths:
            await JSONResponse({"echo": len(self.bodies[-1])})(scope, receive, send)
        elif self.status:
            for message in convert_object_to_asgi_messages("died", status_code=self.status):
                await send(message)


@pytest.mark.parametrize("status", [500, None])
@pytest.mark.parametrize(
    ("path", "body"), [("/v1/index", None), ("/v1/retrieve", b"x" * 9), ("/v1/search/", b"x" * 100_000)]
)
def test_a_read_whose_gateway_dies_is_sent_again(status: int | None, path: str, body: bytes | None) -> None:
    proxy = Dying(1, status)
    reply = reply_of(proxy, path, body)
    assert (reply.status_code, reply.json()) == (200, {"echo": len(body or b"")})
    assert proxy.bodies == [body or b""] * 2


@pytest.mark.parametrize(
    ("deaths", "status", "path", "body", "tries"),
    [
        (2, 500, "/v1/retrieve", b"x", 2),
        (1, 500, "/v1/admin/upsert", b"x", 1),
        (1, 500, "/v1/search", b"x" * 200_000, 1),
        (1, 429, "/v1/retrieve", b"x", 1),
        (1, 404, "/v1/retrieve", b"x", 1),
    ],
)
def test_what_is_not_sent_again(deaths: int, status: int, path: str, body: bytes, tries: int) -> None:
    proxy = Dying(deaths, status)
    reply = reply_of(proxy, path, body)
    assert reply.status_code == (status if status < 500 else 503)
    assert set(reply.json()["error"]) == {"where", "got", "expected", "fix"}
    assert len(proxy.bodies) == tries


def test_a_second_try_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AGAIN, 0.05)
    tries = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        tries.append(scope["path"])
        if len(tries) == 2:
            await asyncio.Event().wait()

    assert reply_of(proxy, body=b"x").status_code == 503
    assert len(tries) == 2


def test_a_client_that_left_is_not_asked_for_again() -> None:
    tries = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        tries.append((await receive())["type"])

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def nowhere(message: Message) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": "/v1/index", "headers": []}
    asyncio.run(ProxyErrors(proxy)(scope, gone, nowhere))
    assert tries == ["http.disconnect"]
