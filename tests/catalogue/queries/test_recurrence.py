"""The share of a validation set's items that training sets hold, by hand."""

from __future__ import annotations

import pytest

from r4t_ray.catalogue import Query, recurrence
from r4t_ray.types import Split


def query(split: Split, *item_ids: str) -> Query:
    return Query(query_id=f"{split} {item_ids}", task="wscr", text="a set", item_ids=item_ids, split=split)


def test_items_of_validation_sets_are_looked_up_in_training_sets() -> None:
    train = [query("train", "a", "b", "c"), query("train", "a", "d")]
    held_out = [query("val", "a", "x"), query("val", "d", "y", "z"), query("test", "a", "b", "c", "d")]
    assert recurrence(train + held_out) == pytest.approx(2 / 5)


def test_without_a_validation_set_training_sets_are_compared_with_each_other() -> None:
    assert recurrence([query("train", "a", "b", "c"), query("train", "a", "d")]) == pytest.approx(2 / 5)
    assert recurrence([]) == 0.0
