"""A client of `r4t serve`."""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from r4t_ray.errors import RequestError
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.machine.loopback import is_loopback
from r4t_ray.retrieval.request import RetrieveRequest, shown
from r4t_ray.retrieval.response import ErrorResponse, RetrieveResponse


class Client:
    """Sends requests to a running server.

    Args:
        address: The server's root, such as http://127.0.0.1:8000.
        timeout_s: Seconds to wait for an answer.
    """

    def __init__(self, address: str, timeout_s: float = 30.0) -> None:
        self._endpoint, self._timeout_s = f"{address.rstrip('/')}/v1/retrieve", timeout_s
        self._is_local = is_loopback(address)

    def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """POST one request, made by ``parse_request``, to /v1/retrieve.

        Raises:
            RequestError: The server refused it (with the server's message), or there is no such server.
            MachineError: The proxy that the environment names cannot be used.
        """
        endpoint = self._endpoint
        try:
            with in_our_words(endpoint), httpx.Client(timeout=self._timeout_s, trust_env=not self._is_local) as client:
                reply = client.post(endpoint, json=request.model_dump(by_alias=True, exclude_none=True))
        except httpx.TimeoutException:
            raise RequestError(
                endpoint, f"no answer in {self._timeout_s:g} s", "an answer in time", "try again, or use --local"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RequestError(
                endpoint, f"no connection ({error})", "a server", "start `r4t serve --workspace DIR`, or use --local"
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
