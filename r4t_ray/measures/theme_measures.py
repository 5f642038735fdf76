"""Whether the items of an answer belong to the theme of its query, by a list that no embedding made.

A query's *relevant* rows are the pool rows that belong to its theme. The ingest stage finds them by words. A query
without a relevant row has no theme measure: every function here returns NaN for it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence, Set


def theme_precision(top_rows: Sequence[int], relevant: Set[int], k: int) -> float:
    """Share of the k directions whose top item is relevant.

    A missing direction counts as not relevant, so that leaving out a doubtful direction never helps. A row that is the
    top item of two directions counts twice.

    Args:
        top_rows: Pool row of the top item of each direction, at most k.
        relevant: Pool rows of the relevant entries.
        k: Directions of a full answer.

    Returns:
        A share in 0..1; NaN without a relevant entry.

    >>> theme_precision([3, 3, 8], {3, 5}, k=4)
    0.5
    """
    if not relevant:
        return math.nan
    return sum(row in relevant for row in top_rows) / k


def theme_precision_all(retrieved: Collection[int], relevant: Set[int]) -> float:
    """Share of all distinct retrieved entries that are relevant; 0 for an empty answer.

    Returns:
        A share in 0..1; NaN without a relevant entry.

    >>> theme_precision_all({3, 8, 9, 10}, {3, 5})
    0.25
    """
    if not relevant:
        return math.nan
    return sum(row in relevant for row in retrieved) / len(retrieved) if len(retrieved) else 0.0


def theme_recall(retrieved: Collection[int], relevant: Set[int], budget: int) -> float:
    """Share of the relevant entries that are retrieved, of those that fit into an answer.

    The number of relevant entries is capped at the budget, so an answer with relevant entries alone has recall 1 even
    if the theme has more of them (capped recall, as in BEIR, arXiv 2104.08663).

    Args:
        retrieved: Distinct pool rows of the answer.
        relevant: Pool rows of the relevant entries.
        budget: Most entries that an answer may hold, K.

    Returns:
        A share in 0..1; NaN without a relevant entry.

    >>> theme_recall({3, 8}, {3, 5, 6, 7}, budget=2)
    0.5
    """
    if not relevant:
        return math.nan
    return sum(row in relevant for row in retrieved) / min(len(relevant), budget)
