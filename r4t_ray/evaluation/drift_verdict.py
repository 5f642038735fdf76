"""Whether a retriever still fits: what changed since it was trained, and the rule by which that calls for new pairs.

The rule. Pairs should be synthesized again when

1. groundedness, Vendi or alignment of the answers fell by more than ``max_drop``, and the 95% interval of the
   difference leaves 0 out; or
2. queries are farther from their nearest training query by more than ``max_query_rise``, likewise; or
3. new entries are reached at less than ``min_reach`` times the rate of the old ones, and less often than 97.5% of the
   samples of as many old entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bootstrap import Estimate, bootstrap_mean, share_of_draws, unpaired_difference
from r4t_ray.evaluation.settings import DriftConfig

QUERY_DISTANCE = "query_distance"
"""Distance of a query to its nearest training query; the other measures are of its answer."""

Values = Mapping[str, NDArray[np.float64]]
"""Measure -> one number a query."""


@dataclass(frozen=True)
class Change:
    """One measure then and now, and the difference, now less then."""

    measure: str
    then: Estimate
    now: Estimate
    difference: Estimate

    def reason(self, config: DriftConfig) -> str | None:
        """Why this change calls for new pairs; None when it does not."""
        found = self.difference
        if self.measure == QUERY_DISTANCE:
            if found.low > 0 and found.value > config.max_query_rise:
                return self._say("rose", config.max_query_rise)
        elif found.high < 0 and -found.value > config.max_drop:
            return self._say("fell", config.max_drop)
        return None

    def _say(self, moved: str, allowed: float) -> str:
        found = self.difference
        return (
            f"{self.measure} {moved} by {abs(found.value):.3f} (95% interval of the change {found.low:.3f} to "
            f"{found.high:.3f}), more than {allowed:g}"
        )


@dataclass(frozen=True)
class Reach:
    """New entries that some answer holds.

    Attributes:
        num_new: New entries.
        num_reached: Those in the answer of at least one of ``num_queries``.
        num_queries: Queries asked, training queries and those of now.
        old: Share of the old entries that the same answers hold; the interval is of samples of ``num_new`` of them.
    """

    num_new: int
    num_reached: int
    num_queries: int
    old: Estimate

    @property
    def share(self) -> float:
        """Share of the new entries that are reached."""
        return self.num_reached / self.num_new

    def reason(self, config: DriftConfig) -> str | None:
        """Why this reach calls for new pairs; None when it does not."""
        if self.share >= config.min_reach * self.old.value or self.share >= self.old.low:
            return None
        return (
            f"{self.share:.1%} of the new entries are reached, less than {config.min_reach:g} times the "
            f"{self.old.value:.1%} of the old ones"
        )


@dataclass(frozen=True)
class Loss:
    """Entries that are gone, ``num_gone``, and their share of what the answers to training queries held."""

    num_gone: int
    share: float


def find_changes(reference: Values, now: Values, num_bootstrap: int, seed: int) -> list[Change]:
    """Every measure that both sides have, in the order of ``reference``."""
    return [
        Change(
            measure,
            bootstrap_mean(values, num_bootstrap, seed),
            bootstrap_mean(now[measure], num_bootstrap, seed),
            unpaired_difference(now[measure], values, num_bootstrap, seed),
        )
        for measure, values in reference.items()
        if measure in now
    ]


def find_reach(reached: set[int], num_old: int, num_new: int, num_queries: int, num_bootstrap: int, seed: int) -> Reach:
    """What the reached rows of a pool say of its new entries, the ``num_new`` rows after ``num_old`` old ones."""
    num_reached = sum(row >= num_old for row in reached)
    old_share = (len(reached) - num_reached) / num_old
    return Reach(num_new, num_reached, num_queries, share_of_draws(old_share, num_new, num_bootstrap, seed))


def find_loss(retrieved: Sequence[set[int]], gone_rows: frozenset[int]) -> Loss | None:
    """What answers, each the rows that it holds, lose by the rows that are gone; None where none are."""
    if not gone_rows:
        return None
    lost, held = sum(len(rows & gone_rows) for rows in retrieved), sum(map(len, retrieved))
    return Loss(len(gone_rows), lost / held)


def find_reasons(changes: Sequence[Change], reach: Reach | None, config: DriftConfig) -> list[str]:
    """Why the rule calls for new pairs, one a line; ``reach`` is None where nothing is new."""
    found = [change.reason(config) for change in changes]
    if reach is not None:
        found.append(reach.reason(config))
    return [reason for reason in found if reason is not None]
