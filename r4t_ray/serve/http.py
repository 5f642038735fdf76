"""HTTP rules of the gateway: a limit on the body, and one JSON form for every error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r4t_ray.errors import DataError, MachineError, RequestError
from r4t_ray.retrieval.request import EXPECTED_BODY, request_fault
from r4t_ray.retrieval.response import error_of, error_response

RETRY_AFTER_S = 1

_logger = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[JSONResponse]]


class BodyLimit:
    """ASGI middleware that reads a body of at most ``limit`` bytes and answers 413 to a longer one."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body already read, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit:
                await self._refuse(scope, receive, send)
                return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = error_response(
            f"body of {scope['method']} {scope['path']}",
            f"more than {self._limit:,} bytes",
            f"at most {self._limit:,} bytes of JSON",
            "send a shorter query",
        )
        await JSONResponse(content, status_code=413)(scope, receive, send)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    status = 400 if faults[0]["type"] == "json_invalid" else 422
    return JSONResponse(error_of(request_fault(faults)), status_code=status)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return JSONResponse(error_of(error), status_code=422)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    expected = EXPECTED_BODY if error.status_code == 400 else "POST /v1/retrieve, GET /healthz, /docs or /"
    content = error_response(f"{request.method} {request.url.path}", str(error.detail), expected, "see /docs")
    return JSONResponse(content, status_code=error.status_code, headers=error.headers)


async def _busy(request: Request, error: Exception) -> JSONResponse:
    content = error_response(request.url.path, "more requests than the queue holds", "fewer at a time", "try again")
    return JSONResponse(content, status_code=429, headers={"Retry-After": str(RETRY_AFTER_S)})


async def _late(request: Request, error: Exception) -> JSONResponse:
    content = error_response(
        request.url.path, "no answer within the deadline", "an answer in time", "try again, or ask for fewer items"
    )
    return JSONResponse(content, status_code=504)


async def _no_vector(request: Request, error: Exception) -> JSONResponse:
    """The encoder failed on a text of this request. The path of its model stays in the log."""
    assert isinstance(error, DataError)
    _logger.error("%s: got %s; expected %s", error.where, error.got, error.expected)
    fix = "change or leave out the text; the log of the server names the encoder"
    return JSONResponse(error_response(request.url.path, error.got, error.expected, fix), status_code=502)


async def _down(request: Request, error: Exception) -> JSONResponse:
    _logger.error("a deployment is unavailable: %s", type(error).__name__)
    content = error_response(request.url.path, "a replica that is down", "every deployment running", "try again")
    return JSONResponse(content, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})


async def _lacking(request: Request, error: Exception) -> JSONResponse:
    _logger.error("a request failed: %s", getattr(error, "cause", error))  # Ray wraps what a replica raised
    content = error_response(
        request.url.path,
        "no answer of a service that the server asks",
        "an answer",
        "try again, or see the server's log",
    )
    return JSONResponse(content, status_code=503, headers={"Retry-After": str(RETRY_AFTER_S)})


async def _broken(request: Request, error: Exception) -> JSONResponse:
    content = error_response(request.url.path, "a fault in the server", "an answer", "see the server's log")
    return JSONResponse(content, status_code=500)


HANDLERS: dict[type[Exception], Handler] = {
    RequestValidationError: _invalid,
    RequestError: _refused,
    DataError: _no_vector,
    HTTPException: _http_error,
    BackPressureError: _busy,
    TimeoutError: _late,
    MachineError: _lacking,
    RayActorError: _down,
    DeploymentUnavailableError: _down,
    Exception: _broken,
}


def make_api(title: str, max_body_bytes: int) -> FastAPI:
    """A FastAPI application with the limit and the error handlers, and no routes yet."""
    api = FastAPI(title=title)
    api.add_middleware(BodyLimit, limit=max_body_bytes)
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
    return api
