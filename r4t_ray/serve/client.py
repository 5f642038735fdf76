"""Ask a running server."""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from r4t_ray.errors import RequestError
from r4t_ray.serve.schema import ErrorResponse, RetrieveRequest, RetrieveResponse, shown


def ask(url: str, request: RetrieveRequest, timeout_s: float = 30.0) -> RetrieveResponse:
    """POST one request to ``url``/v1/retrieve.

    Args:
        url: The server's root, such as http://127.0.0.1:8000.
        request: Of ``parse_request``.
        timeout_s: How long to wait.

    Raises:
        RequestError: The server refused it (its own message), or there is no such server.
    """
    endpoint = f"{url.rstrip('/')}/v1/retrieve"
    try:
        reply = httpx.post(endpoint, json=request.model_dump(exclude_none=True), timeout=timeout_s)
    except httpx.TimeoutException:
        raise RequestError(
            endpoint, f"no answer in {timeout_s:g} s", "an answer in time", "try again, or --local"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RequestError(
            endpoint,
            f"no connection ({error})",
            "a running server",
            "start `r4t serve --workspace DIR`, or use --local",
        ) from None
    try:
        if reply.is_success:
            return RetrieveResponse.model_validate_json(reply.content)
        fault = ErrorResponse.model_validate_json(reply.content).error
    except ValidationError:
        raise RequestError(
            endpoint, f"HTTP {reply.status_code} with {shown(reply.text)}", "a reply of r4t serve", "check the URL"
        ) from None
    raise RequestError(fault.where, fault.got, fault.expected, fault.fix)
