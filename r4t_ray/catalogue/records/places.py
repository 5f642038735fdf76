"""The places of many records, eight bytes for each: only the numbers at their ends differ."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise


class Places:
    """Places in the order in which they were added: ``items.jsonl:1``, ``items.jsonl:2``, ``part-1.parquet row 1``."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._heads: list[tuple[int, str]] = []
        """The text before the number, each from the record on that it belongs to."""

    def append(self, place: str) -> None:
        """Add the place of one more record. It ends with a number."""
        head = place.rstrip("0123456789")
        if not self._heads or self._heads[-1][1] != head:
            self._heads.append((len(self._numbers), head))
        self._numbers.append(int(place[len(head) :]))

    def __iter__(self) -> Iterator[str]:
        ends = [*self._heads, (len(self._numbers), "")]
        for (start, head), (end, _) in pairwise(ends):
            yield from (f"{head}{number}" for number in self._numbers[start:end])
