"""Addresses of servers on this machine, which no proxy can reach."""

from __future__ import annotations

import re

_LOOPBACK = re.compile(r"https?://(localhost|127(\.\d+){3}|\[::1\])(:|/|$)")


def is_loopback(address: str) -> bool:
    """Whether an address of HTTP is one of this machine.

    >>> is_loopback("http://127.0.0.1:8000/v1"), is_loopback("https://localhost.example.org")
    (True, False)
    """
    return _LOOPBACK.match(address) is not None
