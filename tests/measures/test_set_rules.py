"""The rule on a whole set: a cut ranking keeps it, in order, and takes as many items as it can."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.measures import first_keeping, keeps_rule, rule_violations


def test_violations_by_hand() -> None:
    values = ["top", "top", "top", "shoe", "shoe", "shoe", "shoe", None, None, None]
    assert rule_violations(values, max_per_value=2) == 1 + 2
    assert rule_violations(values, max_per_value=2, min_values=4) == 1 + 2 + 2
    assert rule_violations([], max_per_value=2, min_values=3) == 3
    assert [keeps_rule(values, most) for most in (2, 3, 4)] == [0.0, 0.0, 1.0]


@given(values=st.lists(st.sampled_from("abcd"), max_size=12), num=st.integers(3, 6), most=st.integers(1, 3))
def test_a_cut_ranking_keeps_the_rule_and_is_in_order(values: list[str], num: int, most: int) -> None:
    kept = first_keeping(values, num, most, min_values=3)
    assert kept == sorted(set(kept))
    assert len(kept) <= num
    if len(set(values)) >= 3:
        assert keeps_rule([values[place] for place in kept], most, min_values=3)
        full = min(num, sum(min(values.count(value), most) for value in set(values)))
        assert len(kept) == full


def test_items_without_a_value_are_kept() -> None:
    assert first_keeping([None, None, "a", "a"], num=4, max_per_value=1) == [0, 1, 2]
