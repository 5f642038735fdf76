"""HTTP rules of the gateway: one JSON form for every error, and the layers around the routes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from r4t_ray.errors import ArtifactError, DataError, MachineError, R4TError, RequestError
from r4t_ray.retrieval.faults import expected_body, request_fault
from r4t_ray.retrieval.messages import MAX_SEARCH_BYTES
from r4t_ray.retrieval.response import ErrorBody, ErrorResponse, Message, error_of, error_response
from r4t_ray.serve.keys import ADMIN_PATHS, Key, KeyCheck
from r4t_ray.serve.middleware import BodyLimit, PlainRequests, error_reply

RETRY_AFTER_S = 1
NO_VECTOR = 502
"""The status of a request with a text to which the encoder gives no vector."""
OWN_LIMITS = {"/v1/search": MAX_SEARCH_BYTES}
"""Path -> limit on its bodies, where it is not that of all paths."""

_logger = logging.getLogger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]


def reply(
    request: Request, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The error of a request. Those of 500 and above are logged with its id, without what the client wrote."""
    request_id: str = request.state.request_id
    if status >= 500:
        route = request.scope.get("route")
        asked = f"{request.method} {getattr(route, 'path', 'other')}"
        got = "a text without a vector" if status == NO_VECTOR else content["error"]["got"]
        _logger.error("%s: status %d, %s (request_id %s)", asked, status, got, request_id)
    return error_reply(request_id, status, content, headers)


def body_model(request: Request) -> type[Message] | None:
    """The model of the bodies of the endpoint, or None if it takes none."""
    dependant = getattr(request.scope.get("route"), "dependant", None)  # the pages of /docs have none
    models = [field.field_info.annotation for field in dependant.body_params] if dependant else []
    return next((one for one in models if isinstance(one, type) and issubclass(one, Message)), None)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    status = 400 if faults[0]["type"] == "json_invalid" else 422
    return reply(request, status, error_of(request_fault(faults, body_model(request))))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    return reply(request, 422, error_of(error))


async def _http_error(request: Request, error: Exception) -> Response:
    """No such path, another method, or no entry of an id. OPTIONS on a path that exists gets its methods."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        methods = [*filter(None, headers.get("Allow", "").split(", ")), "OPTIONS"]
        headers["Allow"] = ", ".join([*methods, "HEAD"] if "GET" in methods and "HEAD" not in methods else methods)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    unknown = "the id of an entry" if "route" in request.scope else "a path of /docs"
    expected = {400: expected_body(body_model(request)), 405: f"one of {headers.get('Allow')}"}
    content = error_response(
        f"{request.method} {request.url.path}", str(error.detail), expected.get(error.status_code, unknown), "see /docs"
    )
    return reply(request, error.status_code, content, headers)


async def _busy(request: Request, error: Exception) -> JSONResponse:
    content = error_response(request.url.path, "more requests than the queue holds", "fewer at a time", "try again")
    return reply(request, 429, content, {"Retry-After": str(RETRY_AFTER_S)})


async def _late(request: Request, error: Exception) -> JSONResponse:
    content = error_response(
        request.url.path, "no answer within the deadline", "an answer in time", "try again, or ask for fewer items"
    )
    return reply(request, 504, content)


async def _no_vector(request: Request, error: Exception) -> JSONResponse:
    """The encoder failed on a text of this request. The log has the path of its model, and not the text."""
    assert isinstance(error, DataError)
    _logger.error("%s: a text got no vector; expected %s", error.where, error.expected)
    fix = "change or leave out the text; the log of the server names the encoder"
    return reply(request, NO_VECTOR, error_response(request.url.path, error.got, error.expected, fix))


async def _down(request: Request, error: Exception) -> JSONResponse:
    _logger.error("a deployment is unavailable: %s", type(error).__name__)
    content = error_response(request.url.path, "a replica that is down", "every deployment running", "try again")
    return reply(request, 503, content, {"Retry-After": str(RETRY_AFTER_S)})


async def _lacking(request: Request, error: Exception) -> JSONResponse:
    """The server's machine or files are at fault. Only the scope admin is told how, because it may name paths."""
    cause = getattr(error, "cause", error)  # Ray wraps what a replica raised
    _logger.error("a request failed: %s", cause)
    if isinstance(cause, R4TError) and request.url.path.startswith(ADMIN_PATHS):
        # Changed files stay so until a person acts, so no client tries again.
        headers = {} if isinstance(cause, ArtifactError) else {"Retry-After": str(RETRY_AFTER_S)}
        return reply(request, 503, error_of(cause), headers)
    content = error_response(
        request.url.path,
        "no answer of a service that the server asks",
        "an answer",
        "try again, or see the server's log",
    )
    return reply(request, 503, content, {"Retry-After": str(RETRY_AFTER_S)})


async def _broken(request: Request, error: Exception) -> JSONResponse:
    content = error_response(request.url.path, "a fault in the server", "an answer", "see the server's log")
    return reply(request, 500, content)


HANDLERS: dict[type[Exception], Handler] = {
    RequestValidationError: _invalid,
    RequestError: _refused,
    DataError: _no_vector,
    HTTPException: _http_error,
    BackPressureError: _busy,
    TimeoutError: _late,
    MachineError: _lacking,
    ArtifactError: _lacking,
    RayActorError: _down,
    DeploymentUnavailableError: _down,
    Exception: _broken,
}


async def fault_of(request: Request, error: Exception) -> tuple[int, ErrorBody]:
    """The status and the error that a request would get for an exception."""
    handler = next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)
    response = await handler(request, error)
    return response.status_code, ErrorResponse.model_validate_json(bytes(response.body)).error


def note_nothing(scope: Scope, status: int, milliseconds: float) -> None:
    """Keep nothing of a reply."""


def make_api(
    title: str,
    max_body_bytes: int,
    keys: Callable[[], tuple[Key, ...]] = tuple,
    note_reply: Callable[[Scope, int, float], None] = note_nothing,
) -> FastAPI:
    """A FastAPI application with the layers and the error handlers, and no routes yet.

    Args:
        title: Its name.
        max_body_bytes: Limit on a body, except for the paths of OWN_LIMITS.
        keys: Gives the API keys; no keys let every request pass.
        note_reply: Is told the scope, the status and the milliseconds of each request at its end.
    """
    api = FastAPI(title=title, redirect_slashes=False)
    api.add_middleware(BodyLimit, limit=max_body_bytes, own_limits=OWN_LIMITS)
    api.add_middleware(KeyCheck, keys=keys)
    api.add_middleware(PlainRequests, note_reply=note_reply)  # the outermost layer
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)
    return api
