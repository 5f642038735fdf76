"""The tables of the benchmark serve: latency, throughput, CPU by process, stages, and the soak.

A figure is the median over the turns, a ratio is the median of the ratios inside each turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import median

from benchmarks.harness import Result, ResultRow, Table

PLACES = {
    "in process": "in process",
    "inline": "Serve, all inline",
    "two": "Serve, all inline, two gateways",
    "proxy": "Serve, all inline, its own proxy",
    "models": "Serve, models deployed",
    "deployed": "Serve, models and shards deployed",
    "old": "Serve, version 0.1",
}
Cells = dict[tuple[str, int], list[ResultRow]]
"""Place and number of clients -> a row of each turn."""
LEAST_CPU_MS = 0.05
"""Processes that take less CPU time per answer are left out."""


def serve_tables(result: Result) -> Iterator[Table]:
    """The table of loads, the times by stage, and the table of the soak if there was one."""
    cells: Cells = defaultdict(list)
    for row in result.rows:
        cells[row["place"], row["clients"]].append(row)
    yield _loads(cells)
    staged = {cell: rows for cell, rows in cells.items() if rows[0].get("stages_ms")}
    if staged:
        yield _stages(staged)
    if "soak" in result.facts:
        soak = result.facts["soak"]
        yield Table(
            columns=["process", "bytes at the end / after 2 minutes"],
            rows=[[name.rsplit(" ", 1)[0], f"{growth:.3f}"] for name, growth in sorted(soak["growth"].items())],
            notes=[f"{soak['requests_per_s']:.1f} answers/s; other replies: {others(soak['statuses'])}"],
        )


def _loads(cells: Cells) -> Table:
    ratios = ["p50 / in process", "answers/s", "/ version 0.1"]
    return Table(
        columns=["place", "clients", "p50 ms", "p95 ms", "p99 ms", *ratios, "other replies", "CPU ms per answer"],
        rows=[
            [
                PLACES[place],
                str(clients),
                *(_median(row.get(name) for row in rows) for name in ("p50", "p95", "p99")),
                _median(_ratios(rows, "p50", cells.get(("in process", clients), [])), 2),
                _median(row["requests_per_s"] for row in rows),
                _median(_ratios(rows, "requests_per_s", cells.get(("old", clients), []))),
                others(sum((Counter(row["statuses"]) for row in rows), Counter())),
                _cpu([row["cpu_ms"] for row in rows]),
            ]
            for (place, clients), rows in cells.items()
        ],
    )


def _stages(cells: Cells) -> Table:
    """Means over the answers. encode and generate are those of the whole batch."""
    names = list(next(iter(cells.values()))[0]["stages_ms"])
    return Table(
        columns=["place", "clients", *(f"{name} ms" for name in names)],
        rows=[
            [PLACES[place], str(clients), *(_median(row["stages_ms"].get(name) for row in rows) for name in names)]
            for (place, clients), rows in cells.items()
        ],
    )


def _median(values: Iterable[float | None], digits: int = 1) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.{digits}f}" if known else "-"


def _ratios(rows: list[ResultRow], name: str, base: list[ResultRow]) -> list[float]:
    """A figure of each turn over that of another place in the same turn."""
    of_turn = {row["turn"]: row[name] for row in base if row.get(name)}
    return [row[name] / of_turn[row["turn"]] for row in rows if name in row and row["turn"] in of_turn]


def others(statuses: Mapping[str, int]) -> str:
    """The replies whose status is not 200."""
    others = {status: num for status, num in statuses.items() if status != "200"}
    return ", ".join(f"{num} x {status}" for status, num in others.items()) or "none"


def _cpu(turns: list[dict[str, float]]) -> str:
    """The median of the sums, and of each process that takes LEAST_CPU_MS or more."""
    medians = {name: median(turn.get(name, 0.0) for turn in turns) for turn in turns for name in turn}
    named = sorted(medians.items(), key=lambda each: -each[1])
    parts = [f"{name} {ms:.1f}" for name, ms in named if ms >= LEAST_CPU_MS]
    total = f"{median(sum(turn.values()) for turn in turns):.1f}"
    return f"{total} ({', '.join(parts)})" if len(parts) > 1 else total
