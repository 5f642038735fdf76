"""Latency and throughput of answers: in one process, and over HTTP in both topologies of Ray Serve.

``python -m benchmarks.serve WORKSPACE`` needs a workspace that can be served. Every request has another query, so no
cache answers. The clients run on the same machine, in this process: on two cores they take a part of them.
``--old CHECKOUT`` with ``--old-workspace`` measures the server of a checkout of version 0.1 in the same run, on a
workspace that it made. ``--soak MINUTES`` keeps 32 clients asking, and compares the memory of every process at the end
with minute 2.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.load import Load, bodies, put_load
from benchmarks.retrieve import query_texts
from benchmarks.tables.serve import serve_tables
from r4t_ray.types import Task

PLACES: dict[str, dict[str, Any]] = {
    "inline": {},
    "two": {"gateway": {"min_replicas": 2, "max_replicas": 2, "max_ongoing_requests": 256}},
    "proxy": {},
    "models": {"models": "deployed"},
    "deployed": {"models": "deployed", "shards": "deployed"},
}
"""Name of a topology -> its settings in the section `serve`."""
OWN_PROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "0"}
"""The environment of the topology "proxy"."""
START_S = 180.0
WARM_UP_S = 5.0
SOAK_CLIENTS = 32
FIRST_LOOK_S = 120.0
"""Seconds of a soak after which the memory of every process is noted."""


class ServeSettings(BenchmarkSettings):
    """The workspace, the load, and the old checkout."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder of a workspace that can be served.")
    task: Task = Field("oar", description="Task of the queries.")
    k: PositiveInt = Field(10, description="Directions of an answer.")
    n: PositiveInt = Field(10, description="Items of a direction.")
    queries: PositiveInt = Field(500, description="Different queries of the catalogue; a number makes more of them.")
    places: tuple[str, ...] = Field(tuple(PLACES), description="Topologies of the server.")
    clients: tuple[int, ...] = Field((1, 8, 32), description="Numbers of clients over HTTP.")
    seconds: PositiveFloat = Field(20.0, description="Seconds of each load.")
    turns: PositiveInt = Field(1, description="Runs of each place; they alternate.")
    old: Path | None = Field(None, description="A checkout of version 0.1, whose server is measured too.")
    old_workspace: Path | None = Field(None, description="A workspace that this checkout made.")
    soak: NonNegativeInt = Field(0, description="Minutes of a load that is never interrupted.")


def measure(settings: ServeSettings) -> Result:
    """Every place by turns, then the soak."""
    result = new_result("serve", settings)
    texts = query_texts(settings.workspace, settings.task, settings.queries)
    for turn in range(settings.turns):
        result.rows.append({"place": "in process", "clients": 1, "turn": turn, **in_process(settings, texts)})
        for place in (*settings.places, *(("old",) if settings.old else ())):
            with place_server(settings, place) as (url, root):
                for clients in settings.clients:
                    row = under_load(settings, texts, url, root, clients)
                    result.rows.append({"place": place, "clients": clients, "turn": turn, **row})
                    result.write(settings.out)
                    print(result.rows[-1], flush=True)
    if settings.soak:
        result.facts = soak(settings, texts)
    return result


def in_process(settings: ServeSettings, texts: list[str]) -> ResultRow:
    """Answers one by one in a new process without Ray."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=answer_here, args=(settings, texts, sender))
    process.start()
    sender.close()
    row: ResultRow = receiver.recv()
    process.join()
    print(row, flush=True)
    return row


def answer_here(settings: ServeSettings, texts: list[str], sender: Any) -> None:
    """Answer requests for some seconds and send the times."""
    from r4t_ray.retrieval.request import RetrieveRequest
    from r4t_ray.retrieval.retriever import WorkspaceRetriever
    from r4t_ray.retrieval.settings import RetrievalSettings

    retriever = WorkspaceRetriever(settings.workspace, RetrievalSettings())
    load, requests = Load(), bodies(texts, k=settings.k, n=settings.n, task=settings.task)
    warm_until = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < warm_until:
        retriever.retrieve(RetrieveRequest.model_validate_json(next(requests)))
    started, cpu_s = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < settings.seconds:
        begun = time.perf_counter()
        answer = retriever.retrieve(RetrieveRequest.model_validate_json(next(requests))).model_dump_json()
        load.ms.append(1000.0 * (time.perf_counter() - begun))
        load.add_stages(answer.encode())
    load.seconds, load.statuses[200] = time.perf_counter() - started, len(load.ms)
    cpu_ms = {"process": 1000.0 * (time.process_time() - cpu_s) / len(load.ms)}
    sender.send({**load.row(), "cpu_ms": cpu_ms})


def under_load(settings: ServeSettings, texts: list[str], url: str, root: int, clients: int) -> ResultRow:
    """One load on a running server, after a short one that is not counted."""
    fields = {"k": settings.k, "n": settings.n, "task": settings.task}
    put_load(url, bodies([f"warm-up {text}" for text in texts], **fields), clients, WARM_UP_S)
    before = cpu_seconds(root)
    load = put_load(url, bodies([f"{text} for {clients}" for text in texts], **fields), clients, settings.seconds)
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in cpu_seconds(root).items()}
    answered = max(1, len(load.ms))
    return {**load.row(), "cpu_ms": {name: 1000.0 * seconds / answered for name, seconds in sorted(spent.items())}}


def place_server(settings: ServeSettings, place: str) -> AbstractContextManager[tuple[str, int]]:
    """The server of one place."""
    if place != "old":
        return server(settings.workspace, PLACES[place], environment=OWN_PROXY if place == "proxy" else {})
    assert settings.old is not None
    assert settings.old_workspace is not None
    return server(settings.old_workspace, None, settings.old)


@contextmanager
def server(
    workspace: Path,
    args: dict[str, Any] | None,
    checkout: Path = Path(__file__).parents[1],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[str, int]]:
    """A running `r4t serve`: the URL of /v1/retrieve, and the id of its process.

    Args:
        workspace: The workspace.
        args: The section `serve` of its configuration. None starts a server of version 0.1, which takes the workspace
            as its argument.
        checkout: The checkout whose code runs.
        environment: More variables.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = [str(workspace.resolve())]
    command = [sys.executable, "-m", "r4t_ray.cli", "serve", *(place if args is None else ["--workspace", *place])]
    command += ["--port", str(port)]
    if args is not None:
        config = Path(os.environ.get("TMPDIR", "/tmp")) / f"serve-{port}.yaml"
        config.write_text(yaml.safe_dump({"catalogue": {"type": "cookbook"}, "serve": args}), "utf-8")
        command += ["--config", str(config)]
    variables = {**os.environ, **environment, "PYTHONPATH": str(checkout.resolve())}
    process = subprocess.Popen(command, cwd=checkout, env=variables)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}/v1/retrieve", process.pid
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for status 200. Raises TimeoutError, or ChildProcessError if the server ends."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ChildProcessError(f"the server ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise TimeoutError(f"no answer of {url} within {START_S:.0f} s")


def soak(settings: ServeSettings, texts: list[str]) -> dict[str, Any]:
    """A long load on the inline server: statuses, and each process's bytes at the end over those after two minutes."""
    fields = {"k": settings.k, "n": settings.n, "task": settings.task}
    requests = bodies([f"soak {text}" for text in texts], **fields)
    with place_server(settings, "inline") as (url, root):
        first = put_load(url, requests, SOAK_CLIENTS, FIRST_LOOK_S)
        early = resident_bytes(root)
        rest = put_load(url, requests, SOAK_CLIENTS, 60.0 * settings.soak - FIRST_LOOK_S)
        late = resident_bytes(root)
    growth = {name: late[name] / size for name, size in early.items() if name in late}
    return {"soak": {**rest.row(), "first": first.row(), "growth": growth}}


def processes(root: int) -> Iterator[tuple[str, Any]]:
    """Name and process of a server and of its children."""
    import psutil

    parent = psutil.Process(root)
    for process in [parent, *parent.children(recursive=True)]:
        try:
            words = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if words:
            yield ("driver" if process.pid == root else process_name(words)), process


def process_name(words: list[str]) -> str:
    """A short name: an actor's title without "ray::" and its method, else the name of the program.

    >>> process_name(["ray::ServeReplica:default:Generator.handle_request"])
    'Generator'
    >>> process_name(["/opt/ray/raylet", "--port=1"])
    'raylet'
    """
    title = words[0]
    if title.startswith("ray::"):
        return title.removeprefix("ray::").split(".")[0].split(" ")[0].split(":")[-1]
    return Path(title).name


def cpu_seconds(root: int) -> dict[str, float]:
    """CPU seconds so far by name of process."""
    found: dict[str, float] = defaultdict(float)
    for name, process in processes(root):
        times = process.cpu_times()
        found[name] += times.user + times.system
    return dict(found)


def resident_bytes(root: int) -> dict[str, int]:
    """Bytes that a process has for itself, by name and id."""
    return {f"{name} {process.pid}": process.memory_full_info().uss for name, process in processes(root)}


BENCHMARK = Benchmark(name="serve", settings=ServeSettings, measure=measure, tables=serve_tables, about=__doc__ or "")

if __name__ == "__main__":
    BENCHMARK.main()
