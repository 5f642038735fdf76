"""Live changes of a real server under load, while its gateways, its writer and then all of it are killed outright."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.retrieval.live import LiveTasks
from r4t_ray.retrieval.loading import open_tasks
from r4t_ray.serve.args import AppArgs

from ..processes import family, kill_all
from .test_server import wait_for

PROGRAM = """
import sys
from r4t_ray.serve.args import AppArgs, Scaling
from r4t_ray.serve.server import serve_workspace
gateway = Scaling(min_replicas=2, max_replicas=2, max_ongoing_requests=256)
serve_workspace(sys.argv[1], port=int(sys.argv[2]), args=AppArgs(gateway=gateway, shards=sys.argv[3]))
"""
NUM_CLIENTS = 4


@contextmanager
def server(workspace: Path, shards: str = "inline") -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server with two gateways, killed at the end with all its processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {"RAY_worker_niceness"}  # where it is set, the machine is busy
    environment = {name: value for name, value in os.environ.items() if name in kept or not name.startswith("RAY_")}
    command = [sys.executable, "-c", PROGRAM, str(workspace), str(port), shards]
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}", process, 480)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        below = family(psutil.Process(process.pid))
        process.kill()
        process.wait()
        kill_all(below)


def replicas(process: subprocess.Popen[bytes], name: str) -> list[psutil.Process]:
    below = family(psutil.Process(process.pid))
    return [one for one in below if any("ServeReplica" in part and name in part for part in one.cmdline())]


def send(url: str, path: str, body: object) -> bool:
    """Whether a change was acknowledged. A client sends it once: what fails is not acknowledged."""
    try:
        return httpx.post(f"{url}/v1/admin/{path}", json=body, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def status_of(url: str, name: str) -> int:
    """200 or 404, whatever is down meanwhile."""
    for _ in range(300):
        try:
            reply = httpx.get(f"{url}/v1/items/{name}", timeout=60)
        except httpx.TransportError:
            continue
        if reply.status_code in (200, 404):
            return reply.status_code
        time.sleep(0.1)
    raise AssertionError("no answer in 300 tries")


@dataclass
class Load:
    """The changes of clients: the acknowledged items, the acknowledged deletions, and how many were refused."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    kept: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    refused: int = 0

    def change(self, client: int) -> None:
        """Add items and delete every third of them, until it is stopped."""
        for at in itertools.count():
            if self.stop.is_set():
                return
            name = f"new-{client}-{at}"
            record = {"item_id": name, "text": f"hat {at % 7} of shop {client}"}
            if not send(self.url, "upsert", {"pool": "items", "records": [record]}):
                self.refused += 1
                continue
            assert status_of(self.url, name) == 200, "an acknowledged entry is not found"
            if at % 3:
                self.kept.add(name)
            elif send(self.url, "delete", {"pool": "items", "ids": [name]}):
                assert status_of(self.url, name) == 404, "an acknowledged deletion is found"
                self.gone.add(name)

    def wait_for(self, num: int) -> None:
        """Return after so many more items; the server has recovered by then."""
        wanted, deadline = len(self.kept) + num, time.monotonic() + 240
        while len(self.kept) < wanted:
            assert time.monotonic() < deadline, "the server does not recover"
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_acknowledged_change_survives_kills(shop: Workspace, tmp_path: Path) -> None:
    workspace = tmp_path / "shop"
    shutil.copytree(shop.root, workspace)
    with server(workspace) as (process, url), ThreadPoolExecutor(NUM_CLIENTS) as pool:
        load = Load(url)
        clients = [pool.submit(load.change, client) for client in range(NUM_CLIENTS)]
        try:
            for name in ("Writer", "Gateway", "Writer", "Gateway"):
                load.wait_for(5)
                for each in replicas(process, name):
                    each.kill()
            load.wait_for(5)
        finally:
            load.stop.set()
        for client in clients:
            client.result()
        assert load.refused > 0, "no kill met a change"
        assert load.gone
        assert {name for name in load.kept if status_of(url, name) != 200} == set()
        assert {name for name in load.gone if status_of(url, name) != 404} == set()
    # All processes of the server were killed. Another one reads the same changes.
    live = LiveTasks(Workspace(workspace), *open_tasks(Workspace(workspace), AppArgs(), with_index=False))
    row_of = live.served.tasks["oar"].pool.row_of
    assert load.kept <= row_of.keys()
    assert load.gone.isdisjoint(row_of)
