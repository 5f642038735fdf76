"""Rules that select fan-outs, with numbers computed by hand and properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.pairs.select import SelectAbove, SelectAll, SelectBest, count_equal

NAN = math.nan
words = st.sampled_from("abc")
fan_outs = st.lists(st.one_of(st.none(), st.lists(words, min_size=1, max_size=3)), max_size=12)
rewarded = st.lists(st.tuples(st.one_of(st.just(NAN), st.floats(0, 1)), st.integers(1, 5)), max_size=8)


def test_equal_fan_outs_count_at_the_first_whatever_their_order() -> None:
    asked = [("a", "b"), ("c",), None, ("b", "a"), ("a", "a", "b"), ("c",), ("c",)]
    assert count_equal(asked) == {0: 2, 1: 3, 4: 1}


@given(fan_outs)
def test_every_parsed_fan_out_is_counted_once(asked: list[list[str] | None]) -> None:
    counts = count_equal(asked)
    assert sum(counts.values()) == sum(each is not None for each in asked)
    assert len(counts) == len({tuple(sorted(each)) for each in asked if each is not None})
    assert list(counts) == sorted(counts)


def test_the_best_half_by_weight() -> None:
    half = SelectBest(type="best", fraction=0.5)
    assert half.choose([0.1, 0.9, 0.4, 0.9], [1, 1, 1, 1]) == [1, 3]
    assert half.choose([0.1, 0.9, 0.4], [6, 1, 1]) == [0, 1, 2]
    assert half.choose([0.5, 0.5, 0.5], [1, 1, 1]) == [0, 1]
    assert half.choose([NAN, 0.0, NAN], [1, 1, 1]) == [0, 1]
    assert half.choose([], []) == []


def test_above_is_strict_and_leaves_out_fan_outs_without_reward() -> None:
    assert SelectAbove(type="above", reward=0.4).choose([0.4, 0.41, NAN], [1, 9, 1]) == [1]


@given(rewarded, st.floats(0.01, 1.0))
def test_best_selects_the_fraction_with_as_few_fan_outs_as_possible(
    rows: list[tuple[float, int]], fraction: float
) -> None:
    rewards, weights = [row[0] for row in rows], [row[1] for row in rows]
    selected = SelectBest(type="best", fraction=fraction).choose(rewards, weights)
    assert selected == sorted(set(selected))
    needed = math.ceil(fraction * sum(weights))
    assert sum(weights[n] for n in selected) >= needed
    rank = {n: -1.0 if math.isnan(rewards[n]) else rewards[n] for n in range(len(rows))}
    assert all(rank[n] >= rank[other] for n in selected for other in range(len(rows)) if other not in selected)
    if selected:
        assert sum(weights[n] for n in selected) - weights[min(selected, key=lambda n: (rank[n], -n))] < needed


@pytest.mark.parametrize("weights", [[1, 1], [5, 2]])
def test_all_selects_all(weights: list[int]) -> None:
    assert SelectAll().choose([NAN, 0.1], weights) == [0, 1]
