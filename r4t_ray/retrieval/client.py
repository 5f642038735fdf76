"""A client of `r4t serve`."""

from __future__ import annotations

import os

import httpx
from pydantic import ValidationError

from r4t_ray.errors import DeadlineError, RequestError
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.machine.loopback import is_loopback
from r4t_ray.retrieval.request import RetrieveRequest, shown
from r4t_ray.retrieval.response import ErrorResponse, RetrieveResponse


class Client:
    """Sends requests to a running server.

    Args:
        address: The server's root, such as http://127.0.0.1:8000.
        timeout_s: Seconds to wait for an answer.
        api_key: Key of a server that asks for one. Default: the environment variable R4T_API_KEY.
    """

    def __init__(self, address: str, timeout_s: float = 30.0, api_key: str | None = None) -> None:
        key = api_key or os.environ.get("R4T_API_KEY")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._endpoint, self._timeout_s = f"{address.rstrip('/')}/v1/retrieve", timeout_s
        self._is_local = is_loopback(address)

    def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """POST one request, made by ``parse_request``, to /v1/retrieve.

        Raises:
            DeadlineError: The server had no answer in time.
            RequestError: The server refused it (with the server's message), or there is no such server.
            MachineError: The proxy that the environment names cannot be used.
        """
        endpoint = self._endpoint
        try:
            with in_our_words(endpoint), httpx.Client(timeout=self._timeout_s, trust_env=not self._is_local) as client:
                reply = client.post(
                    endpoint, json=request.model_dump(by_alias=True, exclude_none=True), headers=self._headers
                )
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
        kind = DeadlineError if reply.status_code == httpx.codes.GATEWAY_TIMEOUT else RequestError
        raise kind(fault.where, fault.got, fault.expected, fault.fix)
