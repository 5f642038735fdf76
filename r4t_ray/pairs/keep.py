"""Which fan-outs of a query become pairs: equal ones are counted together, then a rule chooses by reward.

arXiv 2603.06397, sec. 2.4, speaks of "successful trajectories" and gives no rule; the default keeps all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from r4t_ray.config import Settings


class KeepAll(Settings):
    """Keep every fan-out that could be parsed."""

    type: Literal["all"] = "all"

    def choose(self, reward_N: Sequence[float], weight_N: Sequence[int]) -> list[int]:
        """Places of what is kept of one query's distinct fan-outs, in order."""
        return list(range(len(reward_N)))


class KeepBest(Settings):
    """Keep the best of each query: at least ``fraction`` of its fan-outs, counted by weight; ties go to the first.

    Fan-outs without a reward (NaN) come last, and are kept where nothing else fills the fraction.
    """

    type: Literal["best"]
    fraction: float = Field(gt=0.0, le=1.0)

    def choose(self, reward_N: Sequence[float], weight_N: Sequence[int]) -> list[int]:
        """As ``KeepAll.choose``.

        >>> KeepBest(type="best", fraction=0.5).choose([0.1, 0.9, 0.4], [1, 1, 2])
        [1, 2]
        """
        best_first = sorted(range(len(reward_N)), key=lambda n: math.inf if math.isnan(reward_N[n]) else -reward_N[n])
        kept, missing = [], math.ceil(self.fraction * sum(weight_N))
        for n in best_first:
            if missing <= 0:
                break
            kept.append(n)
            missing -= weight_N[n]
        return sorted(kept)


class KeepAbove(Settings):
    """Keep fan-outs whose reward is above ``reward``; those without a reward (NaN) are not."""

    type: Literal["above"]
    reward: float

    def choose(self, reward_N: Sequence[float], weight_N: Sequence[int]) -> list[int]:
        """As ``KeepAll.choose``.

        >>> KeepAbove(type="above", reward=0.4).choose([0.1, 0.9, 0.4], [1, 1, 2])
        [1]
        """
        return [n for n, reward in enumerate(reward_N) if reward > self.reward]


KeepRule = KeepAll | KeepBest | KeepAbove


def count_equal(fan_outs: Sequence[Sequence[str] | None]) -> dict[int, int]:
    """Place of the first of each distinct fan-out -> how often it is there; those that are None are left out.

    Fan-outs of the same sub-queries are equal in whatever order, for the rows of a target have none.

    >>> count_equal([("a", "b"), None, ("c",), ("b", "a")])
    {0: 2, 2: 1}
    """
    first: dict[tuple[str, ...], int] = {}
    counts: dict[int, int] = {}
    for place, fan_out in enumerate(fan_outs):
        if fan_out is not None:
            at = first.setdefault(tuple(sorted(fan_out)), place)
            counts[at] = counts.get(at, 0) + 1
    return counts
