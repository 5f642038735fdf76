"""Example answers of the report: the queries are drawn by the seed, and the methods stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from r4t_ray.evaluation.method_answer import Answer

NUM_EXAMPLES = 10
SHOWN_CHARS = 60
"""Longer texts are cut and end in an ellipsis."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one task's queries ask for, and the pool that answers them.

    Attributes:
        queries: Text of every query.
        wanted: Pool rows that a query wants: relevant collections, or the items of its reference set.
        texts: Text of every pool row.
    """

    queries: Sequence[str]
    wanted: Sequence[Set[int]]
    texts: Sequence[str]


def drawn_queries(num_queries: int, seed: int) -> list[int]:
    """Positions of at most NUM_EXAMPLES queries, drawn by the seed, in ascending order.

    >>> drawn_queries(3, seed=0)
    [0, 1, 2]
    """
    kept = min(NUM_EXAMPLES, num_queries)
    return sorted(np.random.default_rng(seed).choice(num_queries, size=kept, replace=False).tolist())


def example_table(asked: Asked, answers: Mapping[str, Sequence[Answer]], seed: int) -> Iterator[str]:
    """Lines of a markdown table: one row per drawn query, one column per method.

    A cell holds the top item of every direction, in order. A wanted item is bold. The draw depends only on the seed and
    on the number of queries, not on the answers.

    Args:
        asked: The queries and the pool.
        answers: Method -> its answer to every query.
        seed: Draws the queries.
    """
    yield "| query | " + " | ".join(answers) + " |"
    yield "|---|" + "---|" * len(answers)
    for position in drawn_queries(len(asked.queries), seed):
        cells = [_top_items(of_B[position], asked, position) for of_B in answers.values()]
        yield f"| {cell(asked.queries[position])} | " + " | ".join(cells) + " |"


def cell(text: str) -> str:
    r"""A text that fits into a cell of a markdown table: on one line, short, and without markup.

    >>> cell("a | b" + chr(10) + "*c*")
    'a \\| b \\*c\\*'
    """
    short = " ".join(text.split())
    if len(short) > SHOWN_CHARS:
        short = short[: SHOWN_CHARS - 1].rstrip() + "…"
    return "".join(f"\\{char}" if char in "\\|*_`[]<>" else char for char in short)


def _top_items(answer: Answer, asked: Asked, position: int) -> str:
    shown = [(cell(asked.texts[row]), row in asked.wanted[position]) for row in answer.top_rows.tolist()]
    return "; ".join(f"**{text}**" if is_wanted else text for text, is_wanted in shown) or "(no answer)"
