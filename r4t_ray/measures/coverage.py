"""Coverage of a reference set, eq. 5 of arXiv 2603.06397."""

from __future__ import annotations

from collections.abc import Set


def recall(retrieved: Set[object], reference: Set[object]) -> float:
    """|Y ∩ R(Q)| / |Y|, the share of the reference Y that was retrieved.

    Raises:
        ValueError: The reference is empty. Recall is then undefined.

    >>> recall({1, 2, 3}, {2, 9})
    0.5
    """
    if not reference:
        raise ValueError("recall of an empty reference set is undefined")
    return len(retrieved & reference) / len(reference)


def hit(retrieved: Set[object], reference: Set[object]) -> float:
    """1.0 when at least one reference item was retrieved, else 0.0."""
    return 1.0 if retrieved & reference else 0.0
