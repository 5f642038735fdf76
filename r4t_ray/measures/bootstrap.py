"""Percentile bootstrap (Efron, 1979): 95% intervals of means, medians, differences, ratios and shares.

NaN marks a query without a value. It is left out of the value, of its interval and of ``n``. A paired comparison leaves
out a query that is NaN on either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 95.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured value, the bounds of its bootstrap 95% interval, and its number ``n`` of queries or repeats."""

    value: float
    low: float
    high: float
    n: int


def known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values that are not NaN, in order.

    >>> known(np.array([1.0, np.nan, 3.0])).tolist()
    [1.0, 3.0]
    """
    return values[~np.isnan(values)]


def known_means(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Measure -> the mean over the queries that have a value. A measure that no query has is left out.

    >>> known_means({"a": np.array([1.0, np.nan, 3.0]), "b": np.array([np.nan])})
    {'a': 2.0}
    """
    return {measure: float(known(of_B).mean()) for measure, of_B in values.items() if len(known(of_B))}


def bootstrap_mean(values: NDArray[np.float64], num_bootstrap: int, seed: int) -> Estimate:
    """The mean over queries, and the 2.5 and 97.5 percentiles of ``num_bootstrap`` resampled means.

    The same seed draws the same queries, so all rows of a task use the same resamples. A single query gives an interval
    of width 0, because every resample is equal to it.

    >>> bootstrap_mean(np.array([1.0, 1.0, np.nan, 1.0]), 100, 0)
    Estimate(value=1.0, low=1.0, high=1.0, n=3)
    """
    values = known(values)
    means = _resampled(values, num_bootstrap, seed).mean(axis=1)
    return _estimate(float(values.mean()), means, len(values))


def bootstrap_median(values: NDArray[np.float64], num_bootstrap: int, seed: int) -> Estimate:
    """The median over repeats and its bootstrap interval. Latencies are reported this way."""
    medians = np.median(_resampled(values, num_bootstrap, seed), axis=1)
    return _estimate(float(np.median(values)), medians, len(values))


def paired_difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], num_bootstrap: int, seed: int
) -> Estimate:
    """Mean over queries of ``ours - theirs`` and its interval. Both arrays hold the same queries in the same order."""
    assert ours.shape == theirs.shape, "a paired difference needs the same queries on both sides"
    return bootstrap_mean(ours - theirs, num_bootstrap, seed)


def paired_ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64], num_bootstrap: int, seed: int) -> Estimate:
    """Mean of ``ours`` divided by mean of ``theirs``. Its interval resamples the common queries of both.

    >>> paired_ratio(np.array([1.0, 2.0]), np.array([2.0, 4.0]), 100, 0)
    Estimate(value=0.5, low=0.5, high=0.5, n=2)
    """
    assert ours.shape == theirs.shape, "a ratio of pairs needs the same queries on both sides"
    is_common = ~np.isnan(ours + theirs)
    ours, theirs = ours[is_common], theirs[is_common]
    above, below = (_resampled(values, num_bootstrap, seed).mean(axis=1) for values in (ours, theirs))
    return _estimate(float(ours.mean() / theirs.mean()), above / below, len(ours))


def unpaired_difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], num_bootstrap: int, seed: int
) -> Estimate:
    """Mean of ``ours`` minus mean of ``theirs``, over different queries. ``n`` is the smaller number of queries."""
    ours, theirs = known(ours), known(theirs)
    our_means = _resampled(ours, num_bootstrap, seed).mean(axis=1)
    their_means = _resampled(theirs, num_bootstrap, seed + 1).mean(axis=1)  # independent of our draws
    return _estimate(float(ours.mean() - theirs.mean()), our_means - their_means, min(len(ours), len(theirs)))


def share_of_draws(share: float, num: int, num_bootstrap: int, seed: int) -> Estimate:
    """The share of hits among ``num`` draws with replacement from a population with this ``share`` of hits.

    The interval covers 95% of the drawn shares. A share outside the interval differs from ``share`` by more than
    chance.

    >>> share_of_draws(1.0, 5, 100, 0)
    Estimate(value=1.0, low=1.0, high=1.0, n=5)
    """
    counts = np.random.default_rng(seed).binomial(num, share, size=num_bootstrap)
    return _estimate(share, counts / num, num)


def _resampled(values: NDArray[np.float64], num_bootstrap: int, seed: int) -> NDArray[np.float64]:
    assert values.ndim == 1, "one number a query"
    assert len(values), "nothing to resample"
    picks = np.random.default_rng(seed).integers(len(values), size=(num_bootstrap, len(values)))
    return values[picks]


def _estimate(value: float, resampled: NDArray[np.float64], n: int) -> Estimate:
    tail = (100.0 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100.0 - tail])
    return Estimate(value=value, low=float(low), high=float(high), n=n)
