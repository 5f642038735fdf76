"""The choice of the fan-outs that become pairs: equal fan-outs of a query are counted, then a rule selects by reward.

A fan-out is the list of sub-queries in one sampled answer. arXiv 2603.06397, sec. 2.4, uses "successful trajectories"
and gives no rule; the default selects all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from r4t_ray.config import Settings


class SelectAll(Settings):
    """Select every fan-out that can be parsed."""

    type: Literal["all"] = Field("all", description="Every fan-out that can be parsed becomes a pair.")

    def choose(self, reward_N: Sequence[float], weight_N: Sequence[int]) -> list[int]:
        """Positions of the selected fan-outs among the distinct fan-outs of one query, ascending.

        Args:
            reward_N: The reward of each distinct fan-out; NaN where there is none.
            weight_N: How often each was sampled.
        """
        return list(range(len(reward_N)))


class SelectBest(Settings):
    """Select the fan-outs of highest reward of each query."""

    type: Literal["best"] = Field(
        description="Experimental: no measured retriever was better with it. The fan-outs of highest reward of each "
        "query become pairs. Equal rewards go to the fan-out that was sampled first."
    )
    fraction: float = Field(
        gt=0.0,
        le=1.0,
        description="Smallest share of a query's samples to select. A fan-out counts as often as it was sampled. "
        "Fan-outs without a reward come last.",
    )

    def choose(self, reward_N: Sequence[float], weight_N: Sequence[int]) -> list[int]:
        """As ``SelectAll.choose``.

        >>> SelectBest(type="best", fraction=0.5).choose([0.1, 0.9, 0.4], [1, 1, 2])
        [1, 2]
        """
        best_first = sorted(range(len(reward_N)), key=lambda n: math.inf if math.isnan(reward_N[n]) else -reward_N[n])
        selected, missing = [], math.ceil(self.fraction * sum(weight_N))
        for n in best_first:
            if missing <= 0:
                break
            selected.append(n)
            missing -= weight_N[n]
        return sorted(selected)


class SelectAbove(Settings):
    """Select the fan-outs whose reward is above a bound."""

    type: Literal["above"] = Field(
        description="Experimental: no measured retriever was better with it. The fan-outs with a reward above the "
        "bound become pairs; a query may have no pair. Fan-outs without a reward are left out."
    )
    reward: float = Field(description="The bound; a reward equal to it is not above it.")

    def choose(self, reward_N: Sequence[float], weight_N: Sequence[int]) -> list[int]:
        """As ``SelectAll.choose``.

        >>> SelectAbove(type="above", reward=0.4).choose([0.1, 0.9, 0.4], [1, 1, 2])
        [1]
        """
        return [n for n, reward in enumerate(reward_N) if reward > self.reward]


SelectRule = SelectAll | SelectBest | SelectAbove


def count_equal(fan_outs: Sequence[Sequence[str] | None]) -> dict[int, int]:
    """Map the position of the first of each distinct fan-out to the number of equal ones; None is left out.

    Fan-outs with the same sub-queries are equal in any order, because the rows of a target have no order.

    >>> count_equal([("a", "b"), None, ("c",), ("b", "a")])
    {0: 2, 2: 1}
    """
    first: dict[tuple[str, ...], int] = {}
    counts: dict[int, int] = {}
    for position, fan_out in enumerate(fan_outs):
        if fan_out is not None:
            at = first.setdefault(tuple(sorted(fan_out)), position)
            counts[at] = counts.get(at, 0) + 1
    return counts
