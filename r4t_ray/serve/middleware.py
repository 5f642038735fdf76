"""ASGI layers around the gateway: the id of each request, its path and method, and a limit on its body."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r4t_ray.retrieval.response import error_response

CLIENT_LEFT = 499
"""Status of a request whose client left before the reply, as nginx has it."""
REQUEST_ID = "X-Request-ID"
BODY_SECONDS = 20.0
"""Seconds in which a body has to arrive."""
SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id_of(scope: Scope) -> str:
    """The id that the client sent in X-Request-ID, if it is safe to repeat and to log, else a new one."""
    sent = Headers(scope=scope).get(REQUEST_ID, "")
    return sent if SAFE_ID.fullmatch(sent) else uuid.uuid4().hex


def plain_path(scope: Scope) -> str:
    """The decoded path without the slashes at its end. Slashes that the client encoded as %2F belong to an id.

    >>> plain_path({"path": "/v1/items/a//", "raw_path": b"/v1/items/a%2F/"}), plain_path({"path": "/docs/"})
    ('/v1/items/a/', '/docs')
    """
    path: str = scope["path"]
    raw = scope.get("raw_path") or path.encode()
    return path[: len(path) - (len(raw) - len(raw.rstrip(b"/")))] or "/"


def error_reply(
    request_id: str, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error in its JSON form, with the id of the request in body and header."""
    return JSONResponse(
        {**content, "request_id": request_id}, status_code=status, headers={**(headers or {}), REQUEST_ID: request_id}
    )


class PlainRequests:
    """Gives each request an id, in ``request.state.request_id`` and in the headers of its reply.

    A path with slashes at its end is the path without them. HEAD gets the status and the headers of GET.

    Args:
        app: The layer inside.
        note_reply: Is told the scope, the status and the milliseconds of each request at its end.
    """

    def __init__(self, app: ASGIApp, note_reply: Callable[[Scope, int, float], None]) -> None:
        self._app, self._note_reply = app, note_reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        scope["path"] = plain_path(scope)
        is_head = scope["method"] == "HEAD"
        if is_head:
            scope["method"] = "GET"

        started, status = time.perf_counter(), CLIENT_LEFT

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception:
            status = 500  # the layer outside answers
            raise
        finally:
            self._note_reply(scope, status, 1e3 * (time.perf_counter() - started))


class BodyLimit:
    """Reads a body. It answers 413 to one that is too long and 408 to one that arrives slowly.

    Args:
        app: The layer inside.
        limit: Most bytes of a body.
        own_limits: Path -> limit that it has in place of ``limit``.
        seconds: Time in which a body has to arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        own_limits: Mapping[str, int] = MappingProxyType({}),
        seconds: float = BODY_SECONDS,
    ) -> None:
        self._app, self._limit, self._own_limits, self._seconds = app, limit, own_limits, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body already read, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._own_limits.get(scope["path"], self._limit)
        try:
            async with asyncio.timeout(self._seconds):
                body = await read_body(receive, limit)
        except TimeoutError:
            got, expected = f"no end after {self._seconds:g} s", f"the whole body within {self._seconds:g} s"
            await refusal(scope, 408, got, expected, "send it in one piece")(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > limit:
            got, expected = f"more than {limit:,} bytes", f"at most {limit:,} bytes of JSON"
            await refusal(scope, 413, got, expected, "send less in one request")(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The body. It is read until it exceeds the limit; None if the client hung up."""
    body, more = bytearray(), True
    while more and len(body) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def refusal(scope: Scope, status: int, got: str, expected: str, fix: str) -> JSONResponse:
    """The reply to a body that is refused."""
    content = error_response(f"body of {scope['method']} {scope['path']}", got, expected, fix)
    return error_reply(scope["state"]["request_id"], status, content)
