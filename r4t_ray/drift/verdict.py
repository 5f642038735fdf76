"""The changes since a retriever was trained, and the rule that decides whether new pairs are needed.

Pairs should be synthesized again in one of three cases:

1. Groundedness, Vendi or alignment of the answers fell by more than ``max_drop``, and the 95% interval of the
   difference excludes 0.
2. The distance of queries to their nearest training query rose by more than ``max_query_rise``, and the 95% interval of
   the difference excludes 0.
3. The share of new entries in the answers is below ``min_reach`` times the share of old entries. It is also below the
   95% interval of that share in random samples of the old entries with ``num_new`` entries each.

The other measures are shown and decide nothing. "Then" is measured on training queries. Theme precision and the
comparisons between answers are better there than for any held-out query, so a fall does not mean that anything changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r4t_ray.drift.settings import DriftConfig
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.measures.bootstrap import Estimate, bootstrap_mean, known, share_of_draws, unpaired_difference

ANSWER_MEASURES = ("groundedness", "vendi", "alignment")
"""Measures of the answer that may give a reason."""

QUERY_DISTANCE = "query_distance"
"""Measure: distance of a query to its nearest training query. All other measures describe the answer."""

Values = Mapping[str, NDArray[np.float64]]
"""Measure -> one number per query, shape (B,). NaN marks a query without a value."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure then and now. ``difference`` is now minus then."""

    measure: str
    then: Estimate
    now: Estimate
    difference: Estimate

    def reason(self, config: DriftConfig) -> str | None:
        """The reason to synthesize new pairs that this change gives; None if it gives none."""
        found = self.difference
        if self.measure == QUERY_DISTANCE:
            if found.low > 0 and found.value > config.max_query_rise:
                return self._say("rose", config.max_query_rise)
        elif self.measure in ANSWER_MEASURES and found.high < 0 and -found.value > config.max_drop:
            return self._say("fell", config.max_drop)
        return None

    def _say(self, moved: str, allowed: float) -> str:
        found = self.difference
        return (
            f"{self.measure} {moved} by {abs(found.value):.3f} (95% interval of the change {found.low:.3f} to "
            f"{found.high:.3f}), more than the accepted {allowed:g}"
        )


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many new entries are reached. An entry is reached if at least one answer contains it.

    Attributes:
        num_new: Number of new entries.
        num_reached: Number of new entries that are reached.
        num_queries: Number of queries, training and current ones together.
        old: Share of the old entries that the same answers reach. Its interval is over random samples of ``num_new``
            old entries.
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
        """The reason to synthesize new pairs that the reach gives; None if it gives none."""
        if self.share >= config.min_reach * self.old.value or self.share >= self.old.low:
            return None
        return (
            f"{self.share:.1%} of the new entries are reached, less than {config.min_reach:g} times the share of the "
            f"old entries ({self.old.value:.1%})"
        )


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The number of removed entries, and their share of the entries in the answers to training queries."""

    num_removed: int
    share: float


def find_changes(reference: Values, now: Values, num_bootstrap: int, seed: int) -> list[Change]:
    """The change of every measure that has a value in both mappings, in the order of ``reference``."""
    return [
        Change(
            measure=measure,
            then=bootstrap_mean(values, num_bootstrap, seed),
            now=bootstrap_mean(now[measure], num_bootstrap, seed),
            difference=unpaired_difference(now[measure], values, num_bootstrap, seed),
        )
        for measure, values in reference.items()
        if measure in now and len(known(values)) and len(known(now[measure]))
    ]


def find_reach(answers: Sequence[Answer], *, num_old: int, num_new: int, num_bootstrap: int, seed: int) -> Reach:
    """Count the new entries that the answers reach.

    The pool has ``num_old`` rows of old entries, followed by ``num_new`` rows of new entries.
    """
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
    """Number of removed rows and their share of the rows in the answers; None if no row was removed."""
    if not removed_rows:
        return None
    retrieved = [answer.retrieved for answer in answers]
    lost, held = sum(len(rows & removed_rows) for rows in retrieved), sum(map(len, retrieved))
    return Loss(num_removed=len(removed_rows), share=lost / held)


def find_reasons(changes: Sequence[Change], reach: Reach | None, config: DriftConfig) -> list[str]:
    """The reasons to synthesize new pairs, one sentence each. ``reach`` is None if there are no new entries."""
    found = [change.reason(config) for change in changes]
    if reach is not None:
        found.append(reach.reason(config))
    return [reason for reason in found if reason is not None]
