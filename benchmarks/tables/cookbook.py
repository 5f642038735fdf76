"""The tables of three evaluated runs of the demo's settings: a small one for the README and the whole table.

OAR is open-ended abstract retrieval, WSCR is weakly supervised compositional retrieval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Result, Table

Column = tuple[str, str, str]
"""Heading, task and measure of a column."""

COLUMNS: tuple[Column, ...] = (
    ("WSCR recall@100", "wscr", "recall@100"),
    ("WSCR vendi", "wscr", "vendi"),
    ("WSCR groundedness", "wscr", "groundedness"),
    ("WSCR ms", "wscr", "latency_ms_b8"),
    ("OAR reward", "oar", "oar_reward"),
    ("OAR vendi", "oar", "vendi"),
    ("OAR groundedness", "oar", "groundedness"),
    ("OAR ms", "oar", "latency_ms_b8"),
)
SMALL_COLUMNS = (COLUMNS[0], COLUMNS[3])
ABOUT_QUERY: tuple[Column, ...] = (
    ("theme precision", "oar", "theme_precision"),
    ("theme recall", "oar", "theme_recall"),
    ("identification", "oar", "identification"),
    ("vendi", "oar", "vendi"),
    ("specific reward", "oar", "specific_reward"),
    ("reward of eq. 1", "oar", "oar_reward"),
)
"""Whether OAR answers are about their query."""
ABOUT_QUERY_METHODS = ("no_fanout_items", "mmr", "dpp", "greedy_reward", "constant", "r4t_diffusion")

SMALL_METHODS = (
    "no_fanout",
    "popular_items",
    "nearest_sets",
    "nearest_sets_items",
    "zero_shot",
    "best_of_5",
    "r4t_folm",
    "r4t_diffusion",
)


def seeds_table(result: Result, columns: Sequence[Column] = COLUMNS, methods: Sequence[str] | None = None) -> Table:
    """Mean over the seeds for each method and measure, with minimum and maximum if they differ.

    Args:
        result: Rows of task, method, measure, mean, least and greatest.
        columns: The columns, in order.
        methods: The rows, in order. Default: every method, in the order of the result.
    """
    cells = {(row["method"], row["task"], row["measure"]): _cell(row) for row in result.rows}
    names = methods or tuple(dict.fromkeys(row["method"] for row in result.rows))
    return Table(
        columns=["method", *(heading for heading, _, _ in columns)],
        rows=[[name, *(cells.get((name, task, measure), "-") for _, task, measure in columns)] for name in names],
    )


def _cell(row: dict[str, Any]) -> str:
    form = "{:.0f}" if row["measure"] == "latency_ms_b8" else "{:.3f}"
    mean, least, greatest = (form.format(row[name]) for name in ("mean", "least", "greatest"))
    return mean if least == greatest else f"{mean} [{least}, {greatest}]"
