"""Replicas over time while the load on a server rises and falls.

``python -m benchmarks.autoscale WORKSPACE --plot PLOT.png`` serves a workspace that can be served, with gateways and
generators that scale, and asks by phases of few, many, and few clients. Every second it counts the replicas, the
answers and the other replies. The clients run on the same machine, so on two cores more replicas answer no faster: the
benchmark shows when replicas come and go, and that no request fails meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, new_result
from benchmarks.load import bodies, put_load
from benchmarks.retrieve import query_texts
from benchmarks.serve import processes, server
from benchmarks.tables.autoscale import DEPLOYMENTS, autoscale_tables
from r4t_ray.types import Task


class AutoscaleSettings(BenchmarkSettings):
    """The workspace, the phases of the load, and the scaling."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder of a workspace that can be served.")
    task: Task = Field("oar", description="Task of the queries.")
    clients: tuple[int, ...] = Field((1, 32, 1), description="Clients of each phase.")
    seconds: tuple[float, ...] = Field((30.0, 120.0, 150.0), description="Length of each phase.")
    max_replicas: PositiveInt = Field(3, description="Most replicas of the gateway and of the generator.")
    target: PositiveFloat = Field(4.0, description="Ongoing requests per replica that the autoscaler aims at.")
    upscale_delay_s: NonNegativeFloat = Field(10.0, description="Seconds of a higher load before replicas start.")
    downscale_delay_s: NonNegativeFloat = Field(30.0, description="Seconds of a lower load before replicas stop.")
    plot: Path | None = Field(None, description="Image that the plot is written to.")


def measure(settings: AutoscaleSettings) -> Result:
    """Serve, ask by phases, and count every second."""
    result = new_result("autoscale", settings)
    scaling = {
        "max_replicas": settings.max_replicas,
        "target_ongoing_requests": settings.target,
        "upscale_delay_s": settings.upscale_delay_s,
        "downscale_delay_s": settings.downscale_delay_s,
    }
    requests = bodies(query_texts(settings.workspace, settings.task, 500), k=10, n=10, task=settings.task)
    with server(settings.workspace, {"models": "deployed", "gateway": scaling, "generator": scaling}) as (url, root):
        done, phase = threading.Event(), [0]
        watcher = threading.Thread(target=watch, args=(root, phase, done, result.rows))
        watcher.start()
        result.facts["phases"] = []
        for clients, seconds in zip(settings.clients, settings.seconds, strict=True):
            phase[0] = clients
            load = put_load(url, requests, clients, seconds)
            result.facts["phases"].append({"clients": clients, "seconds": seconds, **load.row()})
            print(result.facts["phases"][-1], flush=True)
        done.set()
        watcher.join()
    if settings.plot is not None:
        plot(result, settings.plot)
    return result


def watch(root: int, phase: list[int], done: threading.Event, rows: list[dict[str, Any]]) -> None:
    """Append the replicas of each deployment, and the clients, about every second."""
    started = time.perf_counter()
    while not done.wait(1.0):
        found = Counter(name for name, _ in processes(root) if name in DEPLOYMENTS)
        rows.append({"second": time.perf_counter() - started, "clients": phase[0], **found})


def plot(result: Result, path: Path) -> None:
    """Clients and replicas over the seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    seconds = [row["second"] for row in result.rows]
    above.step(seconds, [row["clients"] for row in result.rows], where="post", color="grey")
    above.set_ylabel("clients")
    for name in DEPLOYMENTS:
        below.step(seconds, [row.get(name, 0) for row in result.rows], where="post", label=name)
    below.set(xlabel="seconds", ylabel="replicas")
    below.legend()
    figure.savefig(path, dpi=100)


BENCHMARK = Benchmark(
    name="autoscale", settings=AutoscaleSettings, measure=measure, tables=autoscale_tables, about=__doc__ or ""
)

if __name__ == "__main__":
    BENCHMARK.main()
