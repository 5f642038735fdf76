from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.measures.bootstrap import (
    bootstrap_mean,
    bootstrap_median,
    paired_difference,
    paired_ratio,
    share_of_draws,
    unpaired_difference,
)


def test_interval_of_a_mean_is_normal_for_many_queries():
    values = np.random.default_rng(0).normal(2.0, 3.0, size=400)
    found = bootstrap_mean(values, 4000, seed=1)
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.n == 400
    assert found.value - found.low == pytest.approx(half_width, rel=0.1)
    assert found.high - found.value == pytest.approx(half_width, rel=0.1)


def test_interval_covers_the_true_mean_about_95_times_in_100():
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        found = bootstrap_mean(rng.uniform(size=40), 300, seed=trial)
        covered += found.low <= 0.5 <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def test_equal_seeds_give_equal_intervals_and_a_shift_moves_them():
    values = np.random.default_rng(5).uniform(size=30)
    first, again, other = (bootstrap_mean(values, 200, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    moved = bootstrap_mean(values + 10.0, 200, seed=1)
    assert (moved.low, moved.high) == pytest.approx((first.low + 10.0, first.high + 10.0))


def test_one_query_has_an_interval_of_width_zero():
    found = bootstrap_mean(np.array([0.25]), 50, seed=0)
    assert (found.low, found.value, found.high, found.n) == (0.25, 0.25, 0.25, 1)


def test_one_slow_repeat_does_not_change_the_median():
    found = bootstrap_median(np.array([5.0, 5.0, 5.0, 5.0, 500.0]), 500, seed=0)
    assert (found.value, found.low, found.n) == (5.0, 5.0, 5)
    assert bootstrap_median(np.array([1.0, 2.0, 9.0]), 10, seed=0).value == 2.0


def test_paired_difference_is_narrow_where_single_intervals_overlap():
    easy_and_hard = np.random.default_rng(0).uniform(size=50)
    ours, theirs = easy_and_hard + 0.01, easy_and_hard
    found = paired_difference(ours, theirs, 500, seed=0)
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))
    assert bootstrap_mean(ours, 500, 0).low < theirs.mean()


def test_a_query_without_a_value_is_left_out_of_value_interval_and_count():
    some, all_ = np.array([1.0, np.nan, 3.0, 2.0]), np.array([2.0, 9.0, 4.0, np.nan])
    assert bootstrap_mean(some, 100, 0) == bootstrap_mean(np.array([1.0, 3.0, 2.0]), 100, 0)
    assert paired_difference(some, all_, 100, 0) == bootstrap_mean(np.array([-1.0, -1.0]), 100, 0)
    assert paired_ratio(some, all_, 100, 0) == paired_ratio(np.array([1.0, 3.0]), np.array([2.0, 4.0]), 100, 0)
    found = unpaired_difference(some, all_, 100, 0)
    assert found == unpaired_difference(np.array([1.0, 3.0, 2.0]), np.array([2.0, 9.0, 4.0]), 100, 0)
    assert found.n == 3


def test_unpaired_difference_has_the_width_of_independent_means():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(1.0, 3.0, size=300), rng.normal(0.0, 4.0, size=300)
    found = unpaired_difference(ours, theirs, 4000, seed=1)
    assert found.value == pytest.approx(ours.mean() - theirs.mean())
    half_width = 1.96 * np.sqrt(ours.var() / 300 + theirs.var() / 300)
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.1)
    # Equal values on both sides do not cancel, because their queries are independent.
    alike = unpaired_difference(ours, ours, 4000, seed=1)
    assert (alike.high - alike.low) / 2 == pytest.approx(1.96 * ours.std() * np.sqrt(2 / 300), rel=0.1)
    assert unpaired_difference(ours, theirs[:7], 10, seed=1).n == 7


def test_share_of_draws_is_binomial():
    found = share_of_draws(0.3, 400, 8000, seed=0)
    half_width = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    assert (found.value, found.n) == (0.3, 400)
    assert (found.low, found.high) == pytest.approx((0.3 - half_width, 0.3 + half_width), abs=0.006)
    assert share_of_draws(0.3, 1, 1000, seed=0).low == 0.0
    assert share_of_draws(0.0, 9, 100, seed=0).high == 0.0
