"""Load on a server over HTTP: clients that wait for an answer before they ask again, and the times that they saw."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness import ResultRow

REFUSED_S = 0.1
"""Seconds that a client waits after a request without a reply."""
QUANTILES = {"p50": 50, "p95": 95, "p99": 99}
TIMINGS = re.compile(rb'"timings_ms":({[^}]*})')
"""The milliseconds by stage in an answer. To parse the whole answer would cost the clients as much as the request."""


@dataclass(kw_only=True)
class Load:
    """What the clients saw: milliseconds of each answer with status 200, and the number of replies of each status.

    A request without any reply has the status 0. ``replies`` has the second (``time.perf_counter``) and the status of
    each reply, in their order. ``partial`` counts the answers that lack a shard. ``stages_ms`` has the milliseconds of
    every stage, in sum over the answers.
    """

    seconds: float = 0.0
    partial: int = 0
    replies: list[tuple[float, int]] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    stages_ms: Counter[str] = field(default_factory=Counter)

    def row(self) -> ResultRow:
        """Requests per second, quantiles in milliseconds, statuses, and mean milliseconds by stage."""
        figures = {name: float(np.percentile(self.ms, at)) for name, at in QUANTILES.items()} if self.ms else {}
        statuses = {str(status): num for status, num in sorted(self.statuses.items())}
        stages = {name: total / len(self.ms) for name, total in self.stages_ms.items()}
        return {"requests_per_s": len(self.ms) / self.seconds, "statuses": statuses, **figures, "stages_ms": stages}

    def add_stages(self, answer: bytes) -> None:
        """Add the milliseconds by stage that an answer states. Version 0.1 states none."""
        if stated := TIMINGS.search(answer):
            self.stages_ms.update(json.loads(stated[1]))


def bodies(texts: list[str], **fields: Any) -> Iterator[bytes]:
    """Request bodies without end, each with another query, so that no cache answers."""
    for number in itertools.count():
        query = f"{texts[number % len(texts)]} {number // len(texts)}"
        yield json.dumps({"query": query, **fields}).encode()


def put_load(url: str, requests: Iterator[bytes], clients: int, seconds: float) -> Load:
    """Let so many clients ask for so many seconds."""
    return asyncio.run(_put_load(url, requests, clients, seconds))


async def _put_load(url: str, requests: Iterator[bytes], clients: int, seconds: float) -> Load:
    import aiohttp

    load, started = Load(), time.perf_counter()
    headers = {"Content-Type": "application/json"}

    async def ask(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() - started < seconds:
            begun = time.perf_counter()
            try:
                async with session.post(url, data=next(requests)) as reply:
                    body, status = await reply.read(), reply.status
                    load.partial += b'"partial":true' in body
            except aiohttp.ClientError:
                status = 0
            load.statuses[status] += 1
            load.replies.append((time.perf_counter(), status))
            if status == 0:
                await asyncio.sleep(REFUSED_S)
            if status == 200:
                load.ms.append(1000.0 * (time.perf_counter() - begun))
                load.add_stages(body)

    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(ask(session) for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load
