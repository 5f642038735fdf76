"""HAProxy with the configuration of Ray, changed by ours, before HTTP servers that answer or die."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from r4t_ray.errors import MachineError
from r4t_ray.serve.proxy.haproxy import (
    BINARY,
    ENABLED,
    FILES,
    FIRST_PORT,
    MOST_SOCKET_BYTES,
    NODE_BYTES,
    NUM_PORTS,
    OTHERS,
    binary,
    first_port,
    haproxy_settings,
    ours_at,
    reason_against,
    write_program,
)
from r4t_ray.serve.proxy.haproxy_config import adapted

CHANGE, READ = "/v1/admin/upsert", "/v1/retrieve"


@contextmanager
def gateway(*deaths: int, reply: bytes = b"") -> Iterator[tuple[int, list[str]]]:
    """A port whose server drops its requests of these numbers, from 0, and the first line of each request."""
    lines: list[str] = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):  # HAProxy ends its checks so
            while request := connection.recv(65536).decode():
                is_check = "/-/healthz" in request
                if not is_check:
                    lines.append(request.splitlines()[0])
                if not is_check and len(lines) - 1 in deaths:
                    return
                good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                connection.sendall(reply if reply and not is_check else good)

    def accept() -> None:
        with suppress(OSError):  # the server was closed
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], lines
        server.shutdown(socket.SHUT_RDWR)


def configured(folder: Path, servers: list[int], host: str) -> tuple[list[str], str]:
    """The command that starts a HAProxy which Ray configured for servers at these ports, and its URL."""
    write_program(folder / "haproxy", host, str(binary()))
    files = [str(folder / file) for file in FILES.values()]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=files[1],
        metrics_socket_path=files[2],
        server_state_base=files[3],
        server_state_file=files[4],
        retry_on=OTHERS["RAY_SERVE_HAPROXY_RETRY_ON"],
        retries=int(OTHERS["RAY_SERVE_HAPROXY_RETRIES"]),
        observe_error_limit=int(OTHERS["RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT"]),
    )
    found = [ServerConfig(name=f"server{number}", host="127.0.0.1", port=number) for number in servers]
    backends = {"app": BackendConfig(name="app", path_prefix="/", app_name="app", servers=found)} if servers else {}
    HAProxyApi(config, backends, files[0])._generate_config_file_internal()
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return [str(folder / "haproxy"), "-db", "-f", files[0]], url


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/-/healthz", timeout=2)
            return
        except httpx.TransportError:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            time.sleep(0.05)


@contextmanager
def haproxy(folder: Path, servers: list[int], host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    """The URL and the process id of a HAProxy for servers at these ports."""
    command, url = configured(folder, servers, host)
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_for(url, process)
        yield url, process.pid
    finally:
        process.kill()
        process.wait()


def assert_down(reply: httpx.Response, request_id: str | None) -> None:
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert set(reply.json()["error"]) == {"where", "got", "expected", "fix"}
    assert reply.json()["request_id"] == reply.headers["x-request-id"]
    assert len(reply.headers["x-request-id"]) == 36 if request_id is None else reply.json()["request_id"] == request_id


@pytest.mark.parametrize("sent", ["abc-1", '"}', "x" * 129, 'ok, "}'])
def test_a_server_that_is_down_is_an_error_in_the_json_form(tmp_path: Path, sent: str) -> None:
    with haproxy(tmp_path, []) as (url, _):
        reply = httpx.post(f"{url}{READ}", content=b"{}", headers={"X-Request-ID": sent})
    assert_down(reply, sent if sent == "abc-1" else None)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_it_listens_at_one_address(tmp_path: Path, host: str) -> None:
    with haproxy(tmp_path, [], host) as (_, pid):
        listening = [one.laddr.ip for one in psutil.Process(pid).net_connections("inet") if one.status == "LISTEN"]
    assert listening == [host]


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    command, url = configured(tmp_path, [], "127.0.0.1")
    process = subprocess.Popen(["sh", "-c", f"{shlex.join(command)} & wait"], stderr=subprocess.PIPE)
    wait_for(url, process)
    (started,) = psutil.Process(process.pid).children()
    assert Path(started.cmdline()[0]).name == "haproxy"
    process.kill()
    process.wait()
    assert psutil.wait_procs([started], timeout=10)[1] == []


@pytest.mark.parametrize(("path", "tries", "status"), [(READ, 2, 200), (CHANGE, 1, 503)])
def test_a_read_is_sent_again_and_a_change_is_not(tmp_path: Path, path: str, tries: int, status: int) -> None:
    """The gateway dies at the first request of a connection, and at one over a connection that was used before."""
    sent = {"content": b"{}", "headers": {"X-Request-ID": "abc-1"}, "timeout": 20}
    with gateway(0, tries + 1) as (port, lines), haproxy(tmp_path, [port]) as (url, _), httpx.Client() as client:
        first, between, last = (client.post(f"{url}{path}", **sent) for _ in range(3))  # type: ignore[arg-type]
    assert (first.status_code, between.status_code, last.status_code) == (status, 200, status)
    assert lines == [f"POST {path} HTTP/1.1"] * (2 * tries + 1)
    for reply in (first, last):
        if status == 503:
            assert_down(reply, "abc-1")


def test_a_502_of_the_gateway_stays_one(tmp_path: Path) -> None:
    """Such as that for a text that gets no vector."""
    reply = b"HTTP/1.1 502 Bad Gateway\r\nX-Request-ID: abc-2\r\nContent-Length: 2\r\n\r\n{}"
    with gateway(reply=reply) as (port, lines), haproxy(tmp_path, [port]) as (url, _):
        got = httpx.post(f"{url}{READ}", content=b"{}", timeout=20)
    assert (got.status_code, got.headers.get_list("x-request-id"), len(lines)) == (502, ["abc-2"], 1)


@pytest.mark.parametrize("spoil", [lambda text: text.replace("defaults\n", ""), lambda text: text + "defaults\n"])
def test_another_form_of_the_configuration_is_refused(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    configured(tmp_path, [], "127.0.0.1")
    config = (tmp_path / "haproxy.cfg").read_text(encoding="utf-8")
    assert "bind 192.0.2.1:" in adapted(config, ours_at("192.0.2.1"))
    with pytest.raises(ValueError, match="expected 1"):
        adapted(spoil(config), ours_at("127.0.0.1"))


def test_it_is_set_for_one_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENABLED, raising=False)
    monkeypatch.setenv("RAY_SERVE_HAPROXY_RETRIES", "7")
    monkeypatch.setenv(BINARY, "/opt/haproxy")
    before = dict(os.environ)
    with haproxy_settings("127.0.0.1") as has_haproxy:
        assert (has_haproxy, os.environ[ENABLED], os.environ["RAY_SERVE_HAPROXY_RETRIES"]) == (True, "1", "7")
        program = Path(os.environ[BINARY])
        assert " /opt/haproxy " in program.read_text(encoding="utf-8")
        assert program.parent.stat().st_mode & 0o077 == 0
    assert dict(os.environ) == before
    assert not program.parent.exists()


def test_a_port_that_is_taken_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r4t_ray.serve.proxy.haproxy.NUM_RANGES", 2)
    with ExitStack() as stack:
        with suppress(OSError):  # another program has it
            stack.enter_context(socket.create_server(("127.0.0.1", FIRST_PORT)))
        assert {first_port() for _ in range(20)} == {FIRST_PORT + NUM_PORTS}
        stack.enter_context(socket.create_server(("127.0.0.1", FIRST_PORT + NUM_PORTS)))
        with pytest.raises(MachineError, match="ports 20000 to 20100: got no port that is free"):
            first_port()


def test_it_starts_in_the_longest_folder() -> None:
    """Ray puts the id of a node, 56 characters, between the folder and the files."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short, "x" * (MOST_SOCKET_BYTES - NODE_BYTES - len(short) - 1))
        node = folder / ("n" * 56)
        node.mkdir(parents=True)
        assert reason_against(folder) is None
        with haproxy(node, []) as (url, _):
            assert_down(httpx.get(url), None)
        longer = Path(f"{folder}x")
        longer.mkdir()
        assert "too long a path" in str(reason_against(longer))


@pytest.mark.parametrize("why", ["refused", "a long path", "no binary"])
def test_without_it_serves_own_proxy_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str) -> None:
    monkeypatch.setenv(ENABLED, "0" if why == "refused" else "1")
    if why == "a long path":
        (tmp_path / ("x" * 40)).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 40)))
    if why == "no binary":
        monkeypatch.setattr("r4t_ray.serve.proxy.haproxy.binary", lambda: None)
    before = dict(os.environ)
    with haproxy_settings("127.0.0.1") as has_haproxy:
        assert (has_haproxy, dict(os.environ)) == (False, before | {ENABLED: "0"})
    assert dict(os.environ) == before
