"""Document expansion: an entry's vector is moved towards the queries that it answers.

Not in arXiv 2603.06397. Words of queries that a model predicts for a document help a search to find it (doc2query,
arXiv 1904.08375). Here vectors are searched, so the vectors of the queries are added to the entry's::

    e' = unit(e + w (1/J) sum over j of e(q_j))

e is the vector of the entry's own text, q_j are its J expansions, and w is ``encoder.expansion_weight``. An entry
without expansions keeps e.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from r4t_ray.types import Array

Part = tuple[list[str], Array]
"""Ids and vectors of some rows of a table."""


def expanded(entries: Iterable[Part], expansions: Iterable[Part], weight: float) -> Iterator[Part]:
    """The entries with moved vectors, part by part, as unit rows.

    Args:
        entries: The entries, with unit rows (M, D).
        expansions: Their expansions, with unit rows (J, D), grouped by entry, in the order of the entries.
        weight: w.

    Raises:
        AssertionError: The expansions have another order.

    >>> one = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    >>> ((ids, rows),) = expanded([(["a", "b"], one)], [(["b"], one[:1])], 1.0)
    >>> ids, rows.astype(float).round(2).tolist()
    (['a', 'b'], [[1.0, 0.0], [0.71, 0.71]])
    """
    means = _mean_of_each(expansions)
    waiting = next(means, None)
    for ids, emb_MD in entries:
        moved_MD = emb_MD.astype(np.float32, copy=True)
        for row, name in enumerate(ids):
            if waiting is not None and waiting[0] == name:
                moved_D = moved_MD[row] + weight * waiting[1]
                moved_MD[row] = moved_D / max(float(np.linalg.norm(moved_D)), np.finfo(np.float32).tiny)
                waiting = next(means, None)
        yield ids, moved_MD
    assert waiting is None, f"expansions of {waiting and waiting[0]!r} are out of order"


def _mean_of_each(parts: Iterable[Part]) -> Iterator[tuple[str, Array]]:
    """Each id with the mean of its rows."""
    rows = ((name, row_D) for ids, emb_JD in parts for name, row_D in zip(ids, emb_JD, strict=True))
    for name, group in groupby(rows, key=lambda row: row[0]):
        yield name, np.mean([row_D for _, row_D in group], axis=0)
