"""The table of the benchmark search."""

from __future__ import annotations

from benchmarks.harness import Result, Table


def search_table(result: Result) -> Table:
    """One line for each size and engine, at its last operating point: the one with the highest recall."""
    last = {(row["rows"], row["engine"]): row for row in result.rows}
    lines = []
    for (size, engine), row in last.items():
        if "not_measured" in row:
            lines.append((f"{size:,} rows, {engine}", row["not_measured"], "", "", "", "", ""))
            continue
        point = ", ".join(f"{name} {value}" for name, value in row["point"].items()) or "none"
        ms = row["ms"]
        lines.append(
            (
                f"{size:,} rows, {engine}",
                point,
                f"{row['recall']:.4f}",
                f"{ms['value']:.2f} [{ms['low']:.2f}, {ms['high']:.2f}]",
                f"{row['cpu_ms']:.2f}",
                f"{row['bytes'] / 2**20:,.1f}",
                f"{row['build_s']:.1f}",
            )
        )
    heads = ("operating point", "recall@10", "ms a request of 10 directions", "CPU ms", "MB", "build, CPU seconds")
    return Table(columns=("pool and engine", *heads), rows=lines)
