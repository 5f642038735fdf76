"""The table of the benchmark filters."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Result, Table


def filter_tables(result: Result) -> Iterator[Table]:
    """One line a share, and a column a method: theme precision / vendi."""
    shown = {(row["share"], row["method"], row["measure"]): f"{row['value']['value']:.3f}" for row in result.rows}
    names = list(dict.fromkeys(row["method"] for row in result.rows))
    yield Table(
        columns=("entries that pass", *names),
        rows=[
            (
                f"{share:.0%}",
                *(f"{shown[share, name, 'theme_precision']} / {shown[share, name, 'vendi']}" for name in names),
            )
            for share in dict.fromkeys(row["share"] for row in result.rows)
        ],
        notes=("theme precision / vendi",),
    )
