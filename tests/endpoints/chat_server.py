"""A chat endpoint on this machine that answers, fails, stalls or refuses as planned."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.local_server import in_a_thread


class ChatServer(ThreadingHTTPServer):
    """Replies to each prompt by ``reply``. ``plan`` gives the n-th request a status, a delay in seconds or a text.

    ``seen`` has the bodies of all requests, with their key. ``most_at_once`` counts requests that were open together.
    ``fault`` is the message of a planned status. ``body``, if set, is sent in the place of every reply.
    """

    def __init__(self, reply: Callable[[str], str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.plan: dict[int, int | float | str] = {}
        self.fault = "planned"
        self.body: str | None = None
        self.seen: list[dict[str, Any]] = []
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            act = self.server.plan.get(len(self.server.seen))
            self.server.seen.append(body | {"key": self.headers["authorization"]})
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        time.sleep(act if isinstance(act, float) else 0.02)
        with self.server.lock:
            self.server.at_once -= 1
        text = act if isinstance(act, str) else self.server.reply(body["messages"][0]["content"])
        self._send(act if isinstance(act, int) else 200, text)

    def _send(self, status: int, text: str) -> None:
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "judge",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        }
        data = json.dumps(reply if status == 200 else {"error": {"message": self.server.fault}}).encode()
        data = data if self.server.body is None else self.server.body.encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            self.close_connection = True  # the client's deadline has passed

    def log_message(self, *_: Any) -> None:
        pass


def serving(reply: Callable[[str], str]) -> AbstractContextManager[ChatServer]:
    """A server for the time of the block."""
    return in_a_thread(ChatServer(reply))
