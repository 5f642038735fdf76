"""API keys of the server: read from a file or the environment as sha256, compared in constant time.

A key has 128 bits or more at random, so its plain sha256 cannot be searched backwards.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from r4t_ray.errors import ConfigError
from r4t_ray.retrieval.response import error_response
from r4t_ray.serve.middleware import error_reply

KEYS_VARIABLE = "R4T_API_KEYS"
KeyScope = Literal["read", "admin"]
_LINE = re.compile(r"(read|admin)\s+([0-9a-fA-F]{64})(\s+#.*)?")
OPEN_PATHS = ("", "/", "/docs", "/openapi.json", "/livez", "/readyz", "/healthz")
"""The only paths that need no key."""
ADMIN_PATHS = "/v1/admin/"


class Key(NamedTuple):
    """What a key may do, and the sha256 of its text in hexadecimal digits."""

    scope: KeyScope
    sha256: str


def load_keys(file: Path | None) -> tuple[Key, ...]:
    """The keys of a file and of the environment variable R4T_API_KEYS; none if neither is there.

    A line is ``SCOPE SHA256``, with SCOPE read or admin. In the variable a comma may end a line. Empty lines and lines
    that begin with # are ignored.

    Raises:
        ConfigError: The file cannot be read, or a line has another form. The message does not repeat the line.
    """
    keys = _parsed(KEYS_VARIABLE, os.environ.get(KEYS_VARIABLE, "").replace(",", "\n"))
    if file is None:
        return keys
    try:
        text = file.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), type(error).__name__, "a readable file of API keys", "correct the path") from None
    keys += _parsed(str(file), text)
    if not keys:
        raise ConfigError(str(file), "no key", "one or more lines SCOPE SHA256", "see docs/serving.md")
    return keys


def _parsed(place: str, text: str) -> tuple[Key, ...]:
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if not found:
            expected = "SCOPE SHA256: read or admin, and 64 hexadecimal digits"
            raise ConfigError(f"{place}, line {number}", "another form", expected, "see docs/serving.md")
        keys.append(Key("admin" if found[1] == "admin" else "read", found[2].lower()))
    return tuple(keys)


def scopes_of(token: str, keys: tuple[Key, ...]) -> set[KeyScope]:
    """What a token may do. Every key is compared, each in constant time."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    found: set[KeyScope] = set()
    for key in keys:
        if hmac.compare_digest(digest, key.sha256):
            found |= {"read", "admin"} if key.scope == "admin" else {"read"}
    return found


class KeyCheck:
    """Lets requests pass that have a key: `Authorization: Bearer KEY`. Without keys all pass.

    OPEN_PATHS (the page, /docs and the health checks) hold nothing of the catalogue and need no key.

    Args:
        app: The layer inside.
        keys: Gives the keys of this process.
    """

    def __init__(self, app: ASGIApp, keys: Callable[[], tuple[Key, ...]]) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 403."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        is_asked = scope["type"] == "http" and path not in OPEN_PATHS and scope["method"] != "OPTIONS"
        keys = self._keys() if is_asked else ()
        if not keys:
            await self._app(scope, receive, send)
            return
        kind, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
        scopes = scopes_of(token.strip(), keys) if kind.lower() == "bearer" else set()
        if not scopes:
            await self._refuse(scope, receive, send, status=401)
        elif path.startswith(ADMIN_PATHS) and "admin" not in scopes:
            await self._refuse(scope, receive, send, status=403)
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int) -> None:
        got, expected = {
            401: ("no valid API key", "the header Authorization: Bearer KEY"),
            403: ("a key of the scope read", "a key of the scope admin"),
        }[status]
        content = error_response(f"{scope['method']} {scope['path']}", got, expected, "ask whoever runs the server")
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        await error_reply(scope["state"]["request_id"], status, content, headers)(scope, receive, send)
