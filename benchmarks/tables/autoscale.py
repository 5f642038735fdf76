"""The table of the benchmark autoscale: each phase of the load, and when replicas came and went."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Result, ResultRow, Table
from benchmarks.tables.serve import others

DEPLOYMENTS = ("Gateway", "Generator")


def autoscale_tables(result: Result) -> Iterator[Table]:
    """One row for each phase."""
    start = 0.0
    rows = []
    for phase in result.facts["phases"]:
        inside = [row for row in result.rows if start <= row["second"] < start + phase["seconds"]]
        rows.append(
            [
                str(phase["clients"]),
                f"{phase['seconds']:.0f}",
                *(_course(inside, name, start) for name in DEPLOYMENTS),
                f"{phase['requests_per_s']:.1f}",
                f"{phase['p50']:.0f}",
                f"{phase['p99']:.0f}",
                others(phase["statuses"]),
            ]
        )
        start += phase["seconds"]
    columns = ["clients", "seconds", *(f"replicas of {name}" for name in DEPLOYMENTS)]
    yield Table(columns=[*columns, "answers/s", "p50 ms", "p99 ms", "other replies"], rows=rows)


def _course(rows: list[ResultRow], name: str, start: float) -> str:
    """The number of replicas at the start of a phase, and each change with its second in the phase."""
    parts, last = [], None
    for row in rows:
        number = row.get(name, 0)
        if number != last:
            parts.append(f"{number}" if last is None else f"{number} at {row['second'] - start:.0f} s")
        last = number
    return ", ".join(parts)
