"""GET /metrics: the metrics of every replica in the text form of Prometheus, collected from the nodes of the cluster.

Ray keeps the metrics of all processes and exports them on a port of each node. The gateway asks every node. So each
gateway replica gives the same numbers, and a counter never falls because another replica answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import httpx
import ray

from r4t_ray.errors import MachineError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIXES = ("ray_r4t_", "ray_serve_")
"""Begin the names of the metrics to give: ours and Serve's."""
SCRAPE_S = 5.0
"""Seconds to wait for a node."""


async def exposition() -> str:
    """The metrics of all nodes that answer.

    Raises:
        MachineError: No node answers, or none exports metrics.
    """
    addresses = await asyncio.to_thread(metrics_addresses)
    async with httpx.AsyncClient(timeout=SCRAPE_S, trust_env=False) as client:
        replies = await asyncio.gather(*map(client.get, addresses), return_exceptions=True)
    texts = [reply.text for reply in replies if isinstance(reply, httpx.Response) and reply.is_success]
    if not texts:
        raise MachineError("/metrics", "no node of Ray that exports metrics", "one or more", "install ray[default]")
    return await asyncio.to_thread(merged, texts)


def metrics_addresses() -> list[str]:
    """Where each live node of the cluster exports its metrics."""
    nodes = [(node["NodeManagerAddress"], node["MetricsExportPort"]) for node in ray.nodes() if node["Alive"]]
    return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host, port in nodes if port > 0]


def merged(texts: Iterable[str]) -> str:
    """The metrics of PREFIXES of several nodes, each metric in one block, as the text form asks."""
    blocks: dict[str, dict[str, None]] = {}  # metric -> its lines, each once
    for text in texts:
        block: dict[str, None] = {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                block = blocks.setdefault(name, {}) if name.startswith(PREFIXES) else {}
            block[line] = None
    return "".join(f"{line}\n" for block in blocks.values() for line in block)
