"""Measures by the relevant entries of a query, against values computed by hand."""

from __future__ import annotations

import math

from r4t_ray.measures import theme_precision, theme_precision_all, theme_recall

RELEVANT = frozenset({1, 2, 3, 4})


def test_precision_counts_top_items_and_a_missing_direction_is_wrong() -> None:
    assert theme_precision([1, 2, 9, 8], RELEVANT, k=4) == 0.5
    assert theme_precision([1, 1, 1, 9], RELEVANT, k=4) == 0.75
    assert theme_precision([1, 2], RELEVANT, k=4) == 0.5
    assert theme_precision([], RELEVANT, k=4) == 0.0


def test_precision_of_all_items_is_over_what_was_retrieved() -> None:
    assert theme_precision_all({1, 2, 8, 9, 10}, RELEVANT) == 0.4
    assert theme_precision_all(set(), RELEVANT) == 0.0


def test_recall_is_capped_by_what_an_answer_can_hold() -> None:
    assert theme_recall({1, 2, 8}, RELEVANT, budget=10) == 0.5
    assert theme_recall({1, 2}, RELEVANT, budget=2) == 1.0
    assert theme_recall({1, 9}, RELEVANT, budget=2) == 0.5
    assert theme_recall(set(), RELEVANT, budget=2) == 0.0


def test_without_a_relevant_entry_there_is_no_measure() -> None:
    none: frozenset[int] = frozenset()
    found = [theme_precision([1], none, 1), theme_precision_all({1}, none), theme_recall({1}, none, 1)]
    assert all(math.isnan(value) for value in found)
