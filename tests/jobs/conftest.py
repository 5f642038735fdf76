"""A tiny `sets` catalogue, and a real Ray head with separate ports and a separate folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.processes import family, kill_all

START_SECONDS = 180


@pytest.fixture
def sets_config(tmp_path: Path) -> Path:
    """An experiment over twelve sets of a `sets` catalogue."""
    return write_experiment(tmp_path)


def write_experiment(folder: Path) -> Path:
    """The catalogue's files and the experiment's YAML; gives the path of the YAML."""
    names = ["salt", "thyme", "oil", "leek", "trout", "lemon"]
    items = [{"item_id": f"i{number}", "text": name} for number, name in enumerate(names)]
    sets = [
        {
            "set_id": f"s{number}",
            "title": f"dish {number} of summer",
            "item_ids": [f"i{number % 6}", f"i{(number + 1) % 6}"],
        }
        for number in range(12)
    ]
    for name, rows in (("items", items), ("sets", sets)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    catalogue = {"type": "sets", "items": str(folder / "items.jsonl"), "sets": str(folder / "sets.jsonl")}
    path = folder / "experiment.yaml"
    sections = {"seed": 1, "catalogue": catalogue, "encoder": {"dim": 4, "runtime": "torch"}}
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    return path


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, kw_only=True)
class Head:
    """A Ray head, the addresses of its job server and of its control store, and the environment of its user."""

    job_server: str
    address: str
    environment: dict[str, str]
    asks_for_token: bool

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a command; ``ray job submit`` needs RAY_AUTH_MODE=token if the head asks for a token."""
        return self.environment | ({"RAY_AUTH_MODE": "token"} if self.asks_for_token else {}) | more


@pytest.fixture(scope="module", params=[False, True], ids=["new machine", "machine with a token"])
def ray_head(request: pytest.FixtureRequest) -> Iterator[Head]:
    """A head as `ray start --head` starts it by default, on a machine with or without ~/.ray/auth_token."""
    # A short path: Unix sockets below it must stay under 108 bytes.
    folder = Path(tempfile.mkdtemp(prefix="r4t-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    environment |= {"HOME": str(folder / "home")}
    (folder / "home").mkdir()
    if request.param:
        ray = str(Path(sys.executable).with_name("ray"))
        subprocess.run([ray, "get-auth-token", "--generate"], env=environment, capture_output=True, check=True)
    gcs, dashboard, agent, client = free_ports(4)
    options = {
        "num-cpus": 2,
        "object-store-memory": 512 * 2**20,
        "temp-dir": folder,
        "node-ip-address": "127.0.0.1",
        "port": gcs,
        "ray-client-server-port": client,
        "include-dashboard": "true",
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
    }
    ray = str(Path(sys.executable).with_name("ray"))
    command = [ray, "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "head.log").open("wb") as log:
        head = psutil.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = f"http://127.0.0.1:{dashboard}"
        wait_for(f"{server}/api/version", head, folder / "head.log")
        yield Head(
            job_server=server,
            address=f"127.0.0.1:{gcs}",
            environment=environment,
            asks_for_token=bool(request.param),
        )
    finally:
        if head.poll() is not None:
            print(f"the head ended by itself with {head.returncode}:", (folder / "head.log").read_text())
        # It is killed because a regular shutdown takes longer than 20 seconds.
        kill_all([*family(head), head])
        head.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(url: str, head: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and head.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:  # 401: the head asks for a token
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the Ray head did not come up:\n{log.read_text()}")
