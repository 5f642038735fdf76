"""The table of the benchmark faults."""

from __future__ import annotations

from benchmarks.harness import Result, Table
from benchmarks.tables.serve import others


def faults_table(result: Result) -> Table:
    """One row for each process that was killed."""
    return Table(
        columns=["replicas", "killed", "answers", "partial", "other replies", "longest wait s", "last failure s"],
        rows=[
            [
                str(row["replicas"]),
                row["killed"],
                str(row["statuses"].get("200", 0)),
                str(row["partial"]),
                others(row["statuses"]).replace("x 0", "x no reply"),
                f"{row['outage_s']:.1f}",
                f"{row['recovered_s']:.1f}" if row["recovered_s"] else "-",
            ]
            for row in result.rows
        ],
    )
