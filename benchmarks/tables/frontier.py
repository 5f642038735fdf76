"""The table of the benchmark frontier: quality and milliseconds per query of every method."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Result, ResultRow, Table
from benchmarks.tables.quality import estimate
from benchmarks.tables.speed import number

MEASURES = ("reward", "explained", "theme_precision", "vendi")


def frontier_tables(result: Result) -> Iterator[Table]:
    """One line per method, the fastest first."""
    lines = [
        (
            row["method"],
            str(row["queries"]),
            str(row["calls"]),
            number(row["ms"], 10.0),
            estimate(row["reward"]),
            f"{row['explained']['value']:.3f}",
            estimate(row["theme_precision"]),
            f"{row['vendi']['value']:.3f}",
            _ahead(row),
        )
        for row in sorted(result.rows, key=lambda row: row["ms"])
    ]
    yield Table(
        columns=(
            "method",
            "queries",
            "reward calls",
            "ms",
            "reward",
            "first term",
            "theme precision",
            "vendi",
            "reward of r4t_diffusion minus its reward",
        ),
        rows=lines,
        notes=(
            f"One reward call takes {result.facts['ms_per_call']:.0f} ms. Differences are paired by query.",
            "first term: nats per token of the query, above random sets.",
        ),
    )


def _ahead(row: ResultRow) -> str:
    return estimate(row["ahead"]["reward"]) if "ahead" in row else "-"
