"""The address of an endpoint that a person wrote."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def checked_address(url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        ValueError: It is no address of HTTP, or has a user or a password in it.

    >>> checked_address("http://localhost:8000/v1").path
    '/v1'
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected http://HOST:PORT/v1 or https://HOST/v1")
    _ = parts.port  # a ValueError if it is none
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a user or a password is written to files; use api_key_env")
    return parts
