"""The table of the benchmark set_rules."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Result, Table
from benchmarks.tables.quality import estimate


def set_rules_tables(result: Result) -> Iterator[Table]:
    """One line per method."""
    measures = [name for name in result.rows[0] if name != "method"]
    yield Table(
        columns=(
            "method",
            "keeps the rule",
            *(f"{name} of the set" if at == 0 else name for at, name in enumerate(measures[1:])),
        ),
        rows=[(row["method"], *(estimate(row[name]) for name in measures)) for row in result.rows],
        notes=(f"Reference sets that keep the rule: {result.facts['references_that_keep_the_rule']:.0%}.",),
    )
