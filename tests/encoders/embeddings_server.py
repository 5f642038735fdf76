"""A small OpenAI-compatible /v1/embeddings endpoint. A text's vector is the sum of a random vector for each word."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from r4t_ray.types import Array
from tests.local_server import in_a_thread

WIDTH = 24
Reply = tuple[int, dict[str, str], Any]
"""Status, headers, and the body: text, or what becomes JSON."""


def word_vectors(texts: Sequence[str], width: int = WIDTH, model: str = "words") -> Array:
    """Unit rows of texts, shape (N, width). Another ``model`` is another space."""
    rows = [
        sum(np.random.default_rng(zlib.crc32(f"{model} {word}".encode())).normal(size=width) for word in text.split())
        for text in texts
    ]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


class Endpoint(ThreadingHTTPServer):
    """The server. ``requests`` has the headers and the JSON of each request, in their order.

    ``replies`` holds functions from a request to a reply, which answer the next requests; later ones get vectors.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.replies: list[Callable[[dict[str, Any]], Reply]] = []

    @property
    def url(self) -> str:
        """The base address of the endpoint."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def texts(self) -> list[str]:
        """The texts of all requests."""
        return [text for _, body in self.requests for text in body["input"]]


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers), body | {"path": self.path}))
        answer = self.server.replies.pop(0) if self.server.replies else vectors_of
        status, headers, content = answer(body)
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def vectors_of(body: dict[str, Any]) -> Reply:
    """The vectors of the texts, of any length and in the reverse order."""
    emb_ND = 3 * word_vectors(body["input"], body.get("dimensions", WIDTH), body["model"])
    rows = [{"object": "embedding", "index": at, "embedding": row.tolist()} for at, row in enumerate(emb_ND)]
    return 200, {}, {"object": "list", "data": rows[::-1], "model": body["model"]}


def with_vector(at: int, vector: Any) -> Callable[[dict[str, Any]], Reply]:
    """As ``vectors_of``, with another vector for the text ``at``."""

    def answer(body: dict[str, Any]) -> Reply:
        status, headers, content = vectors_of(body)
        content["data"] = [row | {"embedding": vector} if row["index"] == at else row for row in content["data"]]
        return status, headers, content

    return answer


def always(status: int, content: Any = "", **headers: str) -> Callable[[dict[str, Any]], Reply]:
    """The same reply, whatever is asked."""
    return lambda body: (status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def serving() -> AbstractContextManager[Endpoint]:
    """An endpoint that answers in a thread."""
    return in_a_thread(Endpoint())
