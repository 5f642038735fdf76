from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.evaluation.bootstrap import bootstrap_mean, bootstrap_median, paired_difference


def test_interval_of_a_mean_is_the_normal_one_for_many_queries():
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


def test_same_seed_same_interval_and_a_shift_moves_it():
    values = np.random.default_rng(5).uniform(size=30)
    first, again, other = (bootstrap_mean(values, 200, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    moved = bootstrap_mean(values + 10.0, 200, seed=1)
    assert (moved.low, moved.high) == pytest.approx((first.low + 10.0, first.high + 10.0))


def test_one_query_has_an_interval_of_no_width():
    found = bootstrap_mean(np.array([0.25]), 50, seed=0)
    assert (found.low, found.value, found.high, found.n) == (0.25, 0.25, 0.25, 1)


def test_median_shrugs_off_one_slow_repeat():
    found = bootstrap_median(np.array([5.0, 5.0, 5.0, 5.0, 500.0]), 500, seed=0)
    assert (found.value, found.low, found.n) == (5.0, 5.0, 5)
    assert bootstrap_median(np.array([1.0, 2.0, 9.0]), 10, seed=0).value == 2.0


def test_paired_difference_sees_what_two_wide_intervals_hide():
    easy_and_hard = np.random.default_rng(0).uniform(size=50)
    ours, theirs = easy_and_hard + 0.01, easy_and_hard
    found = paired_difference(ours, theirs, 500, seed=0)
    assert (found.low, found.high) == pytest.approx((0.01, 0.01))
    assert bootstrap_mean(ours, 500, 0).low < theirs.mean()
