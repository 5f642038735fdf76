"""A layer of Serve's HTTP proxy. It repeats reads whose gateway died, and gives the proxy's errors the JSON form.

Serve's proxy answers in plain text, or not at all, if the gateway dies or no replica of it is there. Serve adds the
layer if RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names ``proxy_layers`` before Ray starts. `r4t serve` sets it.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r4t_ray.retrieval.request import MAX_BODY_BYTES
from r4t_ray.retrieval.response import error_response
from r4t_ray.serve.middleware import REQUEST_ID, error_reply, plain_path, request_id_of

CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
LAYERS = "r4t_ray.serve.proxy:proxy_layers"
HEALTH_CHECKS = "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S"

READS = ("/v1/retrieve", "/v1/retrieve:batch", "/v1/fanout", "/v1/search")
"""Paths whose POST changes nothing. The proxy may serve other applications too, so they are listed."""
AGAIN_S = 10.0
"""Most seconds of a second try: half of the default deadline."""

STATUS = {404: 404, 408: 504, 429: 429}
"""Status of the proxy -> status of the reply. Any other error of the proxy is a 503."""
GOT = {404: "no application at this path", 429: "more requests than the queue holds", 504: "no answer in time"}


def proxy_layers() -> list[Middleware]:
    """The layers that Serve puts around its proxy."""
    return [Middleware(ProxyErrors)]


def add_to_proxy() -> None:
    """Set the layers and the health checks of the proxy of the Ray that this process starts next.

    What the environment says already is kept. A health check each second: Serve replaces a dead proxy after three.
    """
    os.environ.setdefault(CALLBACK, LAYERS)
    os.environ.setdefault(HEALTH_CHECKS, "1")


class ProxyErrors:
    """Passes replies of the gateway on. An error that is no JSON, or no reply, becomes an error in the JSON form.

    A read whose gateway died before its reply began is sent to another replica, once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        MutableHeaders(scope=scope)[REQUEST_ID] = request_id
        kept, sent = KeptBody(receive), Sent()
        await self._try(dict(scope), kept, send, sent)
        if sent.is_down and _is_read(scope) and kept.is_whole:
            try:
                async with asyncio.timeout(AGAIN_S):
                    await self._try(dict(scope), kept.again(), send, sent)
            except TimeoutError:
                if sent.is_reply:
                    raise
        if not sent.is_reply:
            await _in_json(scope, sent.status, request_id)(scope, receive, send)

    async def _try(self, scope: Scope, receive: Receive, send: Send, sent: Sent) -> None:
        """Ask once, and note in ``sent`` what became of it."""
        sent.status = 503

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.is_reply = message["status"] < 400 or _is_json(message)
                sent.status = STATUS.get(message["status"], 503)
                MutableHeaders(scope=message)[REQUEST_ID] = request_id_of(scope)
            if sent.is_reply:
                await send(message)

        await self._app(scope, receive, send_on)


@dataclass(kw_only=True)
class Sent:
    """What the client was sent.

    Attributes:
        is_reply: Whether a reply of the gateway was sent on, or began.
        status: Without one: the status of the reply in its place. 503 if the gateway died or none was there.
    """

    is_reply: bool = False
    status: int = 503

    @property
    def is_down(self) -> bool:
        """Whether no gateway replied."""
        return not self.is_reply and self.status == 503


class KeptBody:
    """Receives a request, and keeps its messages so that they can be received again, up to MAX_BODY_BYTES.

    Args:
        receive: Receives the request from the client.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._size = receive, 0
        self._kept: list[Message] = []
        self.is_whole = True
        """Whether the client waits for a reply, and everything that came from it is kept."""

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        self._size += len(message.get("body", b""))
        self.is_whole = self.is_whole and self._size <= MAX_BODY_BYTES and message["type"] == "http.request"
        if self.is_whole:
            self._kept.append(message)
        else:
            self._kept.clear()
        return message

    def again(self) -> Receive:
        """Receives the kept messages, and then what comes next."""
        kept = iter(self._kept)

        async def receive() -> Message:
            return next(kept, None) or await self._receive()

        return receive


def _is_read(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") or plain_path(scope) in READS


def _is_json(start: Message) -> bool:
    """Whether the reply that begins with a message is JSON, as every error of the gateway is."""
    return Headers(raw=start["headers"]).get("content-type", "").startswith("application/json")


def _in_json(scope: Scope, status: int, request_id: str) -> ASGIApp:
    """The error in place of a reply of the proxy."""
    content = error_response(
        f"{scope['method']} {scope['path']}",
        GOT.get(status, "no replica of the gateway that answers"),
        "a server that is up" if status == 503 else "a request that the server can answer",
        "see /docs" if status == 404 else "try again",
    )
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return error_reply(request_id, status, content, headers)
