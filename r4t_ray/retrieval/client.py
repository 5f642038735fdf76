"""A client of `r4t serve`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import ValidationError

from r4t_ray.errors import DeadlineError, RequestError
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.machine.loopback import is_loopback
from r4t_ray.retrieval.request import RetrieveRequest, shown
from r4t_ray.retrieval.response import ChangeResponse, ErrorResponse, Message, RetrieveResponse

if TYPE_CHECKING:
    from r4t_ray.live import LivePool

Answer = TypeVar("Answer", bound=Message)


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
        self._address, self._timeout_s = address.rstrip("/"), timeout_s
        self._is_local = is_loopback(address)

    def retrieve(self, request: RetrieveRequest) -> RetrieveResponse:
        """POST one request, made by ``parse_request``, to /v1/retrieve.

        Raises:
            DeadlineError: The server had no answer in time.
            RequestError: The server refused it (with the server's message), or there is no such server.
            MachineError: The proxy that the environment names cannot be used.
        """
        return self._post("/v1/retrieve", request.model_dump(by_alias=True, exclude_none=True), RetrieveResponse)

    def upsert(self, pool: LivePool, records: Sequence[Mapping[str, Any]]) -> ChangeResponse:
        """Add entries, or replace those with their ids; raises as ``retrieve``.

        Args:
            pool: "items" or "sets".
            records: Records as in the files of a catalogue, at most 256 in 128 KiB.
        """
        return self._post("/v1/admin/upsert", {"pool": pool, "records": records}, ChangeResponse)

    def delete(self, pool: LivePool, ids: Sequence[str]) -> ChangeResponse:
        """Delete entries, at most 1,000; raises as ``retrieve``."""
        return self._post("/v1/admin/delete", {"pool": pool, "ids": ids}, ChangeResponse)

    def _post(self, path: str, body: Mapping[str, Any], kind: type[Answer]) -> Answer:
        endpoint = f"{self._address}{path}"
        try:
            with in_our_words(endpoint), httpx.Client(timeout=self._timeout_s, trust_env=not self._is_local) as client:
                reply = client.post(endpoint, json=body, headers=self._headers)
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
                return kind.model_validate_json(reply.content)
            fault = ErrorResponse.model_validate_json(reply.content).error
        except ValidationError:
            raise RequestError(
                endpoint, f"HTTP {reply.status_code} with {shown(reply.text)}", "a reply of r4t serve", "check the URL"
            ) from None
        refusal = DeadlineError if reply.status_code == httpx.codes.GATEWAY_TIMEOUT else RequestError
        raise refusal(fault.where, fault.got, fault.expected, fault.fix)
