"""The changes since a retriever was trained, and the rule by which they call for new pairs.

The rule. Pairs should be synthesized again when

1. groundedness, Vendi or alignment of the answers fell by more than ``max_drop``, and the 95% interval of the
   difference leaves 0 out; or
2. the distance of queries to their nearest training query rose by more than ``max_query_rise``, and the 95% interval
   of the difference leaves 0 out; or
3. new entries are reached at less than ``min_reach`` times the rate of the old ones, and less often than 97.5% of
   random samples of the old entries, each with as many entries as are new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r4t_ray.drift.settings import DriftConfig
from r4t_ray.evaluation.answers import Answer
from r4t_ray.evaluation.bootstrap import Estimate, bootstrap_mean, share_of_draws, unpaired_difference

QUERY_DISTANCE = "query_distance"
"""Distance of a query to its nearest training query. The other measures are measures of the answer."""

Values = Mapping[str, NDArray[np.float64]]
"""Measure -> one number a query."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure then and now, and the difference, now minus then."""

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


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The new entries that at least one answer holds.

    Attributes:
        num_new: New entries.
        num_reached: New entries in at least one answer.
        num_queries: Queries asked, training queries and queries of now.
        old: Share of the old entries that the same answers hold. Its interval is over samples of ``num_new`` old
            entries.
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


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The number of removed entries, and their share of the items in the answers to training queries."""

    num_removed: int
    share: float


def find_changes(reference: Values, now: Values, num_bootstrap: int, seed: int) -> list[Change]:
    """The changes of every measure that both sides have, in the order of ``reference``."""
    return [
        Change(
            measure=measure,
            then=bootstrap_mean(values, num_bootstrap, seed),
            now=bootstrap_mean(now[measure], num_bootstrap, seed),
            difference=unpaired_difference(now[measure], values, num_bootstrap, seed),
        )
        for measure, values in reference.items()
        if measure in now
    ]


def find_reach(answers: Sequence[Answer], *, num_old: int, num_new: int, num_bootstrap: int, seed: int) -> Reach:
    """How many new entries the answers hold: the ``num_new`` rows of the pool after ``num_old`` old ones."""
    reached = set().union(*(answer.retrieved for answer in answers))
    num_reached = sum(row >= num_old for row in reached)
    old_share = (len(reached) - num_reached) / num_old
    return Reach(
        num_new=num_new,
        num_reached=num_reached,
        num_queries=len(answers),
        old=share_of_draws(old_share, num_new, num_bootstrap, seed),
    )


def find_loss(answers: Sequence[Answer], removed_rows: frozenset[int]) -> Loss | None:
    """How much of the answers the removed rows were; None where no row was removed."""
    if not removed_rows:
        return None
    retrieved = [answer.retrieved for answer in answers]
    lost, held = sum(len(rows & removed_rows) for rows in retrieved), sum(map(len, retrieved))
    return Loss(num_removed=len(removed_rows), share=lost / held)


def find_reasons(changes: Sequence[Change], reach: Reach | None, config: DriftConfig) -> list[str]:
    """Why the rule calls for new pairs, one a line; ``reach`` is None where nothing is new."""
    found = [change.reason(config) for change in changes]
    if reach is not None:
        found.append(reach.reason(config))
    return [reason for reason in found if reason is not None]
