"""What both clients share: how often a call is tried, the faults of a connection, and how a reply is read."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import ValidationError

from r4t_ray.endpoints.loopback import is_loopback
from r4t_ray.endpoints.retry_after import retry_after_s
from r4t_ray.errors import DeadlineError, RequestError
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.retrieval.client.calls import Call, Reply
from r4t_ray.retrieval.faults import shown
from r4t_ray.retrieval.response import ErrorResponse

BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
"""Statuses after which a call is tried again."""
LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""Faults of a connection that was kept open for too long. A call that is sent twice has the effect of one."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
"""Waits before the second try, and at most, where the server asks for none. Each wait doubles the one before."""


class Tries:
    """The tries of one call, which share its time.

    Args:
        timeout_s: Seconds for all of them with the waits between them.
    """

    def __init__(self, timeout_s: float) -> None:
        self._end, self._num_busy, self._is_lost = time.monotonic() + timeout_s, 0, False

    @property
    def left_s(self) -> float:
        """Seconds for the next try."""
        return max(0.001, self._end - time.monotonic())

    def wait_s(self, reply: httpx.Response) -> float | None:
        """Seconds to wait before the next try; None if the reply is final, or the wait is longer than the time left."""
        if reply.status_code not in BUSY:
            return None
        wait_s = min(FIRST_WAIT_S * 2**self._num_busy, LONGEST_WAIT_S) * random.uniform(0.75, 1.0)
        wait_s = max(wait_s, (retry_after_s(reply.headers) or 0.0) * random.uniform(1.0, 1.1))
        self._num_busy += 1
        return wait_s if wait_s < self._end - time.monotonic() else None

    def may_be_lost(self) -> bool:
        """Whether a lost connection is tried again: once."""
        was_lost, self._is_lost = self._is_lost, True
        return not was_lost


class Server:
    """What both clients know of a server.

    Args:
        address: The server's root, such as http://127.0.0.1:8000. On a loopback address proxies of the environment are
            ignored.
        timeout_s: Seconds for a call with all its tries and waits.
        api_key: Key of a server that asks for one. Default: the environment variable R4T_API_KEY.
    """

    def __init__(self, address: str, timeout_s: float = 30.0, api_key: str | None = None) -> None:
        key = api_key or os.environ.get("R4T_API_KEY")
        self._address, self._timeout_s = address.rstrip("/"), timeout_s
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._options: dict[str, Any] = {"headers": headers, "trust_env": not is_loopback(address)}

    def __getstate__(self) -> dict[str, Any]:
        """The state without its connections, which no other process can use."""
        return {name: value for name, value in self.__dict__.items() if name != "_http"}

    def _sent(self, call: Call[Any], left_s: float) -> dict[str, Any]:
        """The arguments of httpx for one try."""
        return {
            "method": "GET" if call.body is None else "POST",
            "url": self._address + call.path,
            "json": call.body,
            "params": call.params,
            "timeout": left_s,
        }

    @contextmanager
    def _faults(self, call: Call[Any]) -> Iterator[None]:
        """Raise faults of the connection in our words."""
        endpoint = self._address + call.path
        try:
            with in_our_words(endpoint):
                yield
        except (httpx.TimeoutException, TimeoutError):
            got = f"no answer in {self._timeout_s:g} s"
            raise DeadlineError(endpoint, got, "an answer in time", "try again, or use --local") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fix = "start `r4t serve --workspace DIR`, or use --local"
            raise RequestError(endpoint, f"no connection ({error})", "a server", fix) from None

    def _read(self, call: Call[Reply], reply: httpx.Response) -> Reply:
        """What a final reply says; raises DeadlineError or RequestError with the server's message."""
        try:
            if reply.is_success:
                return call.reply.model_validate_json(reply.content)
            fault = ErrorResponse.model_validate_json(reply.content).error
        except ValidationError:
            got = f"HTTP {reply.status_code} with {shown(reply.text)}"
            raise RequestError(self._address + call.path, got, "a reply of r4t serve", "check the URL") from None
        kind = DeadlineError if reply.status_code == httpx.codes.GATEWAY_TIMEOUT else RequestError
        raise kind(fault.where, fault.got, fault.expected, fault.fix)
