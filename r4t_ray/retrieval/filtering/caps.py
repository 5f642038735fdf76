"""Room for items under a cap: at most so many items of an answer have the same value of an attribute (``max_per``).

``picking`` searches for more items than the answer has. If they do not suffice, it searches again without the items
whose values have no room, at most MAX_SEARCHES times. After that an answer may be shorter than it could be.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from r4t_ray.types import Mask

if TYPE_CHECKING:
    from r4t_ray.retrieval.filtering.attributes import EntryValues

MAX_SEARCHES = 8
EXTRA_SHARE, MAX_EXTRA_HITS = 3, 1_000
"""A search under a cap finds four times as many hits as are wanted, and at most 1,000 more than are wanted."""


class Room:
    """How many items an answer may still take of each value of one attribute.

    Args:
        values: The values of the attribute in the pool.
        num: Most items with the same value. There is always room for an item without a value.
    """

    def __init__(self, values: EntryValues, num: int) -> None:
        self._values, self._num = values, num
        self._counts: Counter[tuple[int, int]] = Counter()
        self.taken: set[int] = set()

    def take(self, row: int) -> bool:
        """Take an item if each of its values has room. True too if it was taken before."""
        if row in self.taken:
            return True
        values = self._values.of(row)
        if any(self._counts[value] >= self._num for value in values):
            return False
        self._counts.update(values)
        self.taken.add(row)
        return True

    def open_rows(self) -> Mask:
        """The entries of the pool of which each value has room, shape (M,)."""
        return ~self._values.rows_with(value for value, count in self._counts.items() if count >= self._num)


def num_searched(num: int) -> int:
    """Hits of a search for ``num`` items under a cap."""
    return num + min(EXTRA_SHARE * num, MAX_EXTRA_HITS)
