"""The choice of items from a reference that is longer than an answer, by hand."""

from __future__ import annotations

import numpy as np

from r4t_ray.pairs.references import covering_rows

EMB = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
ROWS = np.array([10, 11, 12, 13])


def test_the_item_that_finds_most_of_the_reference_comes_first_then_what_it_misses() -> None:
    hits = np.array([[10, 99], [11, 10], [12, 99], [13, 99]])
    # Item 11 covers 10 and 11. Items 12 and 13 then add one each, and 13 lies farther from 11. Item 10 adds nothing.
    assert covering_rows(ROWS, EMB, hits, 4) == [1, 3, 2, 0]


def test_items_that_cover_equally_much_are_spread() -> None:
    hits = ROWS[:, None]
    assert covering_rows(ROWS, EMB, hits, 3) == [0, 3, 2]
