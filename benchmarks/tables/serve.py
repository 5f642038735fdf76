"""The tables of the benchmark serve: latency and throughput by place and clients, CPU by process, and the soak."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Result, Table

PLACES = {
    "in process": "in process",
    "inline": "Serve, all inline",
    "two": "Serve, all inline, two gateways",
    "proxy": "Serve, all inline, its own proxy",
    "models": "Serve, models deployed",
    "deployed": "Serve, models and shards deployed",
    "old": "Serve, version 0.1",
}
LEAST_CPU_MS = 0.05
"""Processes that take less CPU time per answer are left out."""


def serve_tables(result: Result) -> Iterator[Table]:
    """The table of loads, and the table of the soak if there was one."""
    yield Table(
        columns=["place", "clients", "p50 ms", "p95 ms", "p99 ms", "answers/s", "other replies", "CPU ms per answer"],
        rows=[
            [
                PLACES[row["place"]],
                str(row["clients"]),
                *(f"{row[name]:.1f}" if name in row else "-" for name in ("p50", "p95", "p99")),
                f"{row['requests_per_s']:.1f}",
                others(row["statuses"]),
                _cpu(row["cpu_ms"]),
            ]
            for row in result.rows
        ],
    )
    if "soak" in result.facts:
        soak = result.facts["soak"]
        yield Table(
            columns=["process", "bytes at the end / after 2 minutes"],
            rows=[[name.rsplit(" ", 1)[0], f"{growth:.3f}"] for name, growth in sorted(soak["growth"].items())],
            notes=[f"{soak['requests_per_s']:.1f} answers/s; other replies: {others(soak['statuses'])}"],
        )


def others(statuses: dict[str, int]) -> str:
    """The replies whose status is not 200."""
    others = {status: num for status, num in statuses.items() if status != "200"}
    return ", ".join(f"{num} x {status}" for status, num in others.items()) or "none"


def _cpu(cpu_ms: dict[str, float]) -> str:
    named = sorted(cpu_ms.items(), key=lambda each: -each[1])
    parts = [f"{name} {ms:.1f}" for name, ms in named if ms >= LEAST_CPU_MS]
    return f"{sum(cpu_ms.values()):.1f} ({', '.join(parts)})" if len(parts) > 1 else f"{sum(cpu_ms.values()):.1f}"
