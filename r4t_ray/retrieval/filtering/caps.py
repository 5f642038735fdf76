"""Room for items under limits: at most so many items of an answer have the same value.

The values are of an attribute (``max_per``) or the texts (``dedupe``). ``picking`` searches for more items than the
answer has. If they do not suffice, it searches deeper, without the items whose values have no room, at most
MAX_SEARCHES times. After that an answer may be shorter than it could be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Mask

Value = tuple[int, int]

MAX_SEARCHES = 8
EXTRA_SHARE, MAX_EXTRA_HITS = 3, 1_000
"""A search under a cap finds four times as many hits as are wanted, and at most 1,000 more than are wanted."""
GROWTH, MAX_HITS = 4, 2**20
"""Each repeat finds four times as many hits as the search before, until all directions together find 2**20."""


class Values(Protocol):
    """The values of the entries of a pool that are limited."""

    def of(self, row: int) -> set[Value]:
        """The values of one entry."""
        ...

    def rows_with(self, values: Iterable[Value]) -> Mask:
        """The entries that have one of the values, shape (M,)."""
        ...


class TextValues:
    """The text of each entry as its value.

    Args:
        codes_M: A number for each entry. Entries with the same text have the same number.
    """

    def __init__(self, codes_M: NDArray[np.int64]) -> None:
        self._codes_M = codes_M

    def of(self, row: int) -> set[Value]:
        """The number of an entry's text."""
        return {(0, int(self._codes_M[row]))}

    def rows_with(self, values: Iterable[Value]) -> Mask:
        """The entries that have one of the texts, shape (M,)."""
        return np.isin(self._codes_M, [code for _, code in values])


class Room:
    """How many items an answer may still take of each value.

    Args:
        limits: Values, and the most items with the same value. There is always room for an item without a value.
    """

    def __init__(self, *limits: tuple[Values, int]) -> None:
        self._limits = [(values, num, Counter[Value]()) for values, num in limits]
        self.taken: set[int] = set()

    def take(self, row: int) -> bool:
        """Take an item if each of its values has room. True too if it was taken before."""
        if row in self.taken:
            return True
        held = [values.of(row) for values, _, _ in self._limits]
        for own, (_, num, counts) in zip(held, self._limits, strict=True):
            if any(counts[value] >= num for value in own):
                return False
        for own, (_, _, counts) in zip(held, self._limits, strict=True):
            counts.update(own)
        self.taken.add(row)
        return True

    def open_rows(self) -> Mask:
        """The entries of the pool of which each value has room, shape (M,)."""
        full = [
            values.rows_with(value for value, count in counts.items() if count >= num)
            for values, num, counts in self._limits
        ]
        return ~np.logical_or.reduce(full)


def num_searched(num: int) -> int:
    """Hits of a search for ``num`` items under a cap."""
    return num + min(EXTRA_SHARE * num, MAX_EXTRA_HITS)


def num_deeper(num: int, directions: int) -> int:
    """Hits of each direction in the search that follows one with ``num``.

    >>> num_deeper(80, directions=1), num_deeper(80, directions=2**14)
    (320, 80)
    """
    return max(num, min(GROWTH * num, MAX_HITS // directions))
