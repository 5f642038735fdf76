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
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from r4t_ray.serve.proxy import LAYERS


def reply_of(inner: Any, **headers: str) -> httpx.Response:
    """The reply of Serve's proxy with our layers, which calls ``inner``."""
    app = _apply_middlewares(inner, validate_http_proxy_callback_return(call_function_from_import_path(LAYERS)))

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            return await client.get("/v1/retrieve", headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("status", "expected"), [(404, 404), (408, 504), (429, 429), (500, 503), (503, 503), (None, 503)]
)
def test_a_plain_error_of_the_proxy_gets_the_json_form(status: int | None, expected: int) -> None:
    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if status is not None:
            for message in convert_object_to_asgi_messages("secret traceback", status_code=status):
                await send(message)

    reply = reply_of(proxy, **{"X-Request-ID": "abc-1"})
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

    reply = reply_of(RequestIdMiddleware(gateway), **{"X-Request-ID": sent})
    assert (reply.status_code, reply.json()) == (422, {"error": {}})
    assert reply.headers.get_list("x-request-id") == seen
    assert (seen == [sent]) == (len(sent) <= 128)
