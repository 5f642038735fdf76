"""`serve_workspace` in a separate process: on loopback, until a signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.client import Client
from r4t_ray.errors import ConfigError
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.server import check_address
from tests.processes import named

PROGRAM = """
import sys
from r4t_ray.serve.server import serve_workspace
serve_workspace(sys.argv[1], port=int(sys.argv[2]))
"""


@pytest.fixture
def server(tiny_workspace: Workspace) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", PROGRAM, str(tiny_workspace.root), str(port)]
    process = subprocess.Popen(command, env=environment)
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server left early"
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # Not listening yet.
        time.sleep(0.5)
    pytest.fail(f"no healthy server in {seconds} s")


def errors_while_the_gateway_dies(process: subprocess.Popen[bytes], url: str) -> list[httpx.Response]:
    """Kill the only replica of the gateway while it waits for the writer; gives the replies that are no answers.

    The writer is stopped, so the writes of four clients are under way when the gateway dies.
    """
    (gateway,), (writer,) = (
        named(psutil.Process(process.pid), f"ray::ServeReplica:default:{name}") for name in ("Gateway", "Writer")
    )

    def delete() -> httpx.Response:
        body = {"pool": "items", "ids": ["an id that no item has"]}
        return httpx.post(f"{url}/v1/admin/delete", json=body, headers={"X-Request-ID": "abc-2"}, timeout=90)

    with ThreadPoolExecutor(4) as pool:
        writer.suspend()
        try:
            asking = [pool.submit(delete) for _ in range(4)]
            time.sleep(2)
            gateway.kill()
        finally:
            writer.resume()
        return [reply for each in asking if (reply := each.result()).status_code != 200]


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_served_workspace_answers_and_stops_on_sigterm(
    server: tuple[subprocess.Popen[bytes], str], tiny_workspace: Workspace
) -> None:
    process, url = server
    wait_for(url, process, 240)
    request = parse_request(query="a warm soup", k=2, n=3)
    over_http, locally = Client(url).retrieve(request), Retriever(tiny_workspace.root).answer(request)
    assert over_http.directions[0].items[0].id == locally.directions[0].items[0].id
    headers = httpx.get(f"{url}/docs/", headers={"X-Request-ID": "abc-1"}).headers
    assert headers.get_list("x-request-id") == ["abc-1"]
    errors = errors_while_the_gateway_dies(process, url)
    assert len(errors) == 4
    for reply in errors:
        assert (reply.status_code, reply.headers["retry-after"], reply.headers["x-request-id"]) == (503, "1", "abc-2")
        assert set(reply.json()["error"]) == {"where", "got", "expected", "fix"}
        assert reply.json()["request_id"] == "abc-2"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/healthz", timeout=2)


def test_a_taken_or_foreign_address_is_refused_before_ray_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    with pytest.raises(ConfigError, match="address of this machine"):
        check_address("203.0.113.1", 8000)
