"""What clients see when a process of a server is killed outright.

``python -m benchmarks.faults WORKSPACE`` serves a workspace with one replica of each deployment, and then with two.
While ``--clients`` clients ask, it kills one process with signal 9: a replica of a shard, of the generator or of the
gateway, Serve's controller, or HAProxy. It counts the replies that are no answer, and looks for the longest time
without an answer. The shards are deployments of their own. Clients send nothing again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.load import Load, bodies, put_load
from benchmarks.retrieve import query_texts
from benchmarks.serve import processes, server
from benchmarks.tables.faults import faults_table
from r4t_ray.types import Task

VICTIMS = {
    "shard": "shard_",
    "shard, allow_partial": "shard_",
    "generator": "Generator",
    "gateway": "Gateway",
    "controller": "ServeController",
    "proxy": "haproxy",
}
"""What is killed, and how the name of its process begins."""


class FaultsSettings(BenchmarkSettings):
    """The workspace, the replicas and the load."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder of a workspace that can be served.")
    task: Task = Field("oar", description="Task of the queries.")
    replicas: tuple[PositiveInt, ...] = Field((1, 2), description="Replicas of each deployment.")
    clients: PositiveInt = Field(4, description="Clients that ask all the time.")
    before: PositiveFloat = Field(10.0, description="Seconds of load before the kill.")
    after: PositiveFloat = Field(60.0, description="Seconds of load after the kill.")


def measure(settings: FaultsSettings) -> Result:
    """Kill each victim with each number of replicas; the file is written after each."""
    result = new_result("faults", settings)
    texts = query_texts(settings.workspace, settings.task, 500)
    for replicas in settings.replicas:
        scaling = {"min_replicas": replicas, "max_replicas": replicas, "max_ongoing_requests": 256}
        args = {"models": "deployed", "shards": "deployed", "gateway": scaling, "generator": scaling, "shard": scaling}
        with server(settings.workspace, args) as (url, root):
            for victim in VICTIMS:
                fields: dict[str, Any] = {"allow_partial": True} if "partial" in victim else {}
                requests = bodies([f"{text}, {victim}" for text in texts], k=10, n=10, task=settings.task, **fields)
                row = killed(settings, url, root, VICTIMS[victim], requests)
                result.rows.append({"replicas": replicas, "killed": victim, **row})
                result.write(settings.out)
                print(result.rows[-1], flush=True)
    return result


def killed(settings: FaultsSettings, url: str, root: int, name: str, requests: Iterator[bytes]) -> ResultRow:
    """Kill one process under load.

    Returns:
        ``statuses`` of all replies, ``partial`` answers, ``outage_s`` (the longest time without an answer), and
        ``recovered_s`` (from the kill to the first answer after the last reply that is none; 0 without such a reply).
    """
    loads: list[Load] = []
    seconds = settings.before + settings.after
    asking = threading.Thread(target=lambda: loads.append(put_load(url, requests, settings.clients, seconds)))
    asking.start()
    time.sleep(settings.before)
    victim = next(process for found, process in processes(root) if found.startswith(name))
    victim.kill()
    at = time.perf_counter()
    asking.join()
    (load,) = loads
    return {"statuses": load.row()["statuses"], "partial": load.partial, **outage(load.replies, at)}


def outage(replies: list[tuple[float, int]], killed_at: float) -> dict[str, float]:
    """The longest time without an answer, and the time until the last failure was over.

    Args:
        replies: Second and status of each reply, in their order.
        killed_at: Second of the kill.
    """
    answers = [second for second, status in replies if status == 200]
    failures = [second for second, status in replies if status != 200]
    longest = max((after - before for before, after in pairwise(answers)), default=float("inf"))
    later = [second for second in answers if failures and second > failures[-1]]
    recovered = (later[0] - killed_at if later else float("inf")) if failures else 0.0
    return {"outage_s": longest, "recovered_s": recovered}


BENCHMARK = Benchmark(
    name="faults",
    settings=FaultsSettings,
    measure=measure,
    tables=lambda result: [faults_table(result)],
    about=__doc__ or "",
)

if __name__ == "__main__":
    BENCHMARK.main()
