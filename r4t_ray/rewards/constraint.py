"""A constraint on the set: at most ``max_per_value`` items with the same value of an attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt

from r4t_ray.config import Settings
from r4t_ray.errors import ConfigError
from r4t_ray.rewards.answers import Answers, PoolEntry
from r4t_ray.types import Array


class ConstraintConfig(Settings):
    """Subtracts ``weight`` times the share of items beyond ``max_per_value`` items with one value of an attribute.

    Example: with ``attribute: category`` and ``max_per_value: 2``, a set of ten items with four tops has two tops too
    many. The share is 0.2.
    """

    type: Literal["constraint"] = Field(description="Selects this reward.")
    attribute: str = Field(description="Name of the item attribute, as the catalogue's items carry it.")
    max_per_value: PositiveInt = Field(
        description="Largest number of items of a set that may have the same value of the attribute."
    )
    weight: float = Field(1.0, description="Factor of the share of excess items, which is subtracted from the reward.")

    def build(self, share: float) -> ConstraintReward:
        """The reward."""
        return ConstraintReward(self.attribute, self.max_per_value)


class ConstraintReward:
    """Minus the share of each answer's items that must be removed to satisfy the constraint; 0 for an empty set."""

    def __init__(self, attribute: str, max_per_value: int) -> None:
        self._attribute, self._max_per_value = attribute, max_per_value

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The component "reward", (B,) in -1..0. The constraint ignores items without the attribute.

        Raises:
            ConfigError: No entry of the pool has the attribute.
        """
        sets = [[answers.pool[row].attributes.get(self._attribute) for row in rows] for rows in answers.top_rows]
        if all(value is None for values in sets for value in values):
            self._check_attribute(answers.pool)
        excess = []
        for values in sets:
            counts = Counter(str(value) for value in values if value is not None)
            excess.append(sum(max(0, count - self._max_per_value) for count in counts.values()) / max(1, len(values)))
        return {"reward": -np.array(excess, np.float32)}

    def _check_attribute(self, pool: Sequence[PoolEntry]) -> None:
        if any(entry.attributes.get(self._attribute) is not None for entry in pool):
            return
        known = sorted({name for entry in pool for name in entry.attributes})
        raise ConfigError(
            "folm.added_rewards: constraint.attribute",
            f"{self._attribute!r}, which no entry of the pool has",
            f"one of {', '.join(known)}" if known else "a pool of items with attributes",
            "name another attribute, or ingest the items with it",
        )
