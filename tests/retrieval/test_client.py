"""The client of a server: no proxy on the way to this machine, and a message about a proxy that cannot be used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from r4t_ray.client import Client
from r4t_ray.errors import DeadlineError, MachineError, RequestError
from r4t_ray.retrieval.request import parse_request


class Refuses(BaseHTTPRequestHandler):
    """Answers every request with an error of the gateway."""

    def do_POST(self) -> None:
        body = json.dumps({"error": {"where": "k", "got": "99", "expected": "fewer", "fix": "lower k"}}).encode()
        self.send_response(504 if self.headers.get("Authorization") == "Bearer late" else 422)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:1", "http://127.0.0.1:1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_on_this_machine_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, port: int, host: str, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(RequestError, match="k: got 99"):
        Client(f"http://{host}:{port}").retrieve(parse_request(query="soup"))


def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    with pytest.raises(MachineError, match=r"ALL_PROXY=socks://127.*unset ALL_PROXY"):
        Client("http://far.invalid").retrieve(parse_request(query="soup"))


def test_a_late_server_is_past_the_deadline_and_the_key_is_sent(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("R4T_API_KEY", "late")
    with pytest.raises(DeadlineError, match="k: got 99"):
        Client(f"http://127.0.0.1:{port}").retrieve(parse_request(query="soup"))
    with pytest.raises(RequestError, match="k: got 99"):
        Client(f"http://127.0.0.1:{port}", api_key="other").retrieve(parse_request(query="soup"))
