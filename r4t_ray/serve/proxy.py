"""A layer of Serve's HTTP proxy that gives the proxy's own errors the JSON form of the gateway's.

Serve's proxy answers in plain text, or not at all, if no replica of the gateway is there to answer. Serve adds the
layer if RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names ``proxy_layers`` before Ray starts. `r4t serve` sets it.
"""

from __future__ import annotations

import os

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r4t_ray.retrieval.response import error_response
from r4t_ray.serve.middleware import REQUEST_ID, error_reply, request_id_of

CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
LAYERS = "r4t_ray.serve.proxy:proxy_layers"

STATUS = {404: 404, 408: 504, 429: 429}
"""Status of the proxy -> status of the reply. Any other error of the proxy is a 503."""
GOT = {404: "no application at this path", 429: "more requests than the queue holds", 504: "no answer in time"}


def proxy_layers() -> list[Middleware]:
    """The layers that Serve puts around its proxy."""
    return [Middleware(ProxyErrors)]


def add_to_proxy() -> None:
    """Put the layers around the proxy of the Ray that this process starts next, unless the environment names others."""
    os.environ.setdefault(CALLBACK, LAYERS)


class ProxyErrors:
    """Passes replies of the gateway on. An error that is no JSON, or no reply, becomes an error in the JSON form."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        MutableHeaders(scope=scope)[REQUEST_ID] = request_id
        replaced: Message = {}
        is_started = False

        async def send_on(message: Message) -> None:
            nonlocal replaced, is_started
            if message["type"] == "http.response.start":
                if message["status"] >= 400 and not _is_json(message):
                    replaced = message
                    return
                is_started = True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_on)
        if not is_started:
            await _in_json(scope, replaced, request_id)(scope, receive, send)


def _is_json(start: Message) -> bool:
    """Whether the reply that begins with a message is JSON, as every error of the gateway is."""
    return Headers(raw=start["headers"]).get("content-type", "").startswith("application/json")


def _in_json(scope: Scope, start: Message, request_id: str) -> ASGIApp:
    """The error in place of a reply of the proxy, whose first message is ``start``. It is empty if there was none."""
    status = STATUS.get(start.get("status", 503), 503)
    content = error_response(
        f"{scope['method']} {scope['path']}",
        GOT.get(status, "no replica of the gateway that answers"),
        "a server that is up" if status == 503 else "a request that the server can answer",
        "see /docs" if status == 404 else "try again",
    )
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return error_reply(request_id, status, content, headers)
