"""Calls of an OpenAI-compatible /v1/embeddings endpoint. The key stays in the header: no message and no file has it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlunsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from r4t_ray.encoders.each_text import shown
from r4t_ray.endpoints.address import checked_address
from r4t_ray.endpoints.key import without_key
from r4t_ray.endpoints.loopback import is_loopback
from r4t_ray.endpoints.retry_after import retry_after_s
from r4t_ray.errors import ConfigError, DataError, MachineError, R4TError
from r4t_ray.machine.library_faults import in_our_words

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Waits before the first retry, and at most, where the server asks for none. Each wait doubles the one before."""
LONGEST_ASKED_S = 300.0
"""Longest wait that a server may ask for by Retry-After."""
BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which a call is tried again."""
REFUSED_TEXT = frozenset({400, 413, 422})
"""Statuses that say that the server does not take the texts."""
SHOWN_CHARS = 200

_logger = logging.getLogger(__name__)


def embeddings_url(url: str) -> str:
    """The address of the endpoint, from itself or from its base.

    Raises:
        ValueError: It is no address of HTTP, or has a user or a password in it.

    >>> embeddings_url("http://localhost:8000"), embeddings_url("https://api.openai.com/v1/")
    ('http://localhost:8000/v1/embeddings', 'https://api.openai.com/v1/embeddings')
    """
    parts = checked_address(url)
    path = parts.path.rstrip("/")
    if not path.endswith("/embeddings"):
        path = f"{path or '/v1'}/embeddings"
    return urlunsplit(parts._replace(path=path))


class EmbeddingsApi:
    """A connection to an endpoint.

    Args:
        url: What ``embeddings_url`` takes.
        key: The key of the endpoint, or None to send none.
        timeout_s: Seconds to wait for each answer.
        max_retries: Further tries after a failure that may pass.

    Raises:
        MachineError: The proxy that the environment names cannot be used.
    """

    def __init__(self, url: str, key: str | None, *, timeout_s: float, max_retries: int) -> None:
        self.where = f"encoder.url '{url}'"
        self._url, self._key, self._timeout_s, self._max_retries = embeddings_url(url), key, timeout_s, max_retries
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with in_our_words(self.where):
            self._http = httpx.Client(timeout=timeout_s, headers=headers, trust_env=not is_loopback(self._url))

    def embed(self, body: Mapping[str, Any], texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """The vector of each text, in their order.

        Args:
            body: The fields of the request beside ``input``.
            texts: The texts of one request.

        Raises:
            ConfigError: The endpoint does not know the model, or refuses the key.
            DataError: The endpoint does not take the texts, or a vector is no list of numbers.
            MachineError: No answer came after all tries, or the answer is not that of such an endpoint.
        """
        reply = self._post({**body, "input": list(texts)}, texts)
        try:
            rows = {entry["index"]: entry["embedding"] for entry in reply.json()["data"]}
        except (ValueError, LookupError, TypeError):
            rows = {}
        if sorted(rows) != list(range(len(texts))):
            raise MachineError(
                self.where,
                f"HTTP {reply.status_code} with {self._told(reply.text)}",
                '{"data": [{"index": 0, "embedding": [...]}, ...]} '
                f"with each index from 0 to {len(texts) - 1} once",
                "check that encoder.url is the address of an embeddings endpoint",
            )
        return [self._vector(rows[at], text) for at, text in enumerate(texts)]

    def _vector(self, value: Any, text: str) -> NDArray[np.float64]:
        numbers = np.asarray(value, np.float64) if isinstance(value, list) and _are_numbers(value) else np.empty(0)
        if not numbers.size:
            raise DataError(
                self.where, f"the vector {value!r:.80} for {shown(text)}", "a list of numbers", "check the endpoint"
            )
        return numbers

    def _post(self, body: Mapping[str, Any], texts: Sequence[str]) -> httpx.Response:
        """A successful answer. Failures that may pass are tried again, after the wait that the server asks for."""
        fault = ""
        for retry in range(self._max_retries + 1):
            wait_s = min(FIRST_WAIT_S * 2**retry, LONGEST_WAIT_S) * random.uniform(0.75, 1.0)
            try:
                reply = self._http.post(self._url, json=body)
            except httpx.TimeoutException:
                fault = f"no answer in {self._timeout_s:g} s"
            except httpx.HTTPError as error:
                fault = f"no connection ({str(error) or type(error).__name__})"
            else:
                if reply.is_success:
                    return reply
                if reply.status_code not in BUSY:
                    raise self._refusal(reply, texts)
                fault = f"HTTP {reply.status_code} with {self._told(reply.text)}"
                asked_s = retry_after_s(reply.headers)
                wait_s = wait_s if asked_s is None else asked_s
            if retry == self._max_retries or wait_s > LONGEST_ASKED_S:
                break
            _logger.warning("%s: %s; next try in %.1f s", self.where, fault, wait_s)
            time.sleep(wait_s)
        asks = f", which asks to wait {wait_s:,.0f} s" if wait_s > LONGEST_ASKED_S else ""
        raise MachineError(
            self.where,
            f"{fault}{asks}, after {retry + 1} tries",
            "an answer with embeddings",
            "start the endpoint or correct encoder.url; for a slow or busy one raise encoder.timeout_s or "
            "encoder.max_retries; then run the command again",
        )

    def _refusal(self, reply: httpx.Response, texts: Sequence[str]) -> R4TError:
        got = f"HTTP {reply.status_code} with {self._told(reply.text)}"
        if reply.status_code in (401, 403):
            sent = "no key, because encoder.api_key_env is null" if self._key is None else "the key in the environment"
            return ConfigError(self.where, f"{got} for {sent}", "a key that it takes", "correct encoder.api_key_env")
        if reply.status_code in REFUSED_TEXT:
            longest = shown(max(texts, key=len))
            return DataError(
                self.where,
                f"{got} for {len(texts)} texts, the longest {longest}",
                "a request that the endpoint takes",
                "shorten the text, lower encoder.batch_size, or correct encoder.model and dimensions",
            )
        return ConfigError(self.where, got, f"an endpoint at {self._url}", "correct encoder.url and encoder.model")

    def _told(self, text: str) -> str:
        """The beginning of an answer, without the key if the server repeats it."""
        return repr(without_key(text, self._key)[:SHOWN_CHARS])


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
