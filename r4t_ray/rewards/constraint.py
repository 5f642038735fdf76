"""A rule on the set: at most ``max_per_value`` items with one value of an attribute, at least ``min_values`` values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from r4t_ray.config import Settings
from r4t_ray.errors import ConfigError
from r4t_ray.measures import rule_violations
from r4t_ray.rewards.answers import Answers, PoolEntry
from r4t_ray.types import Array


class ConstraintConfig(Settings):
    """Subtracts ``weight`` times the share of items that break a rule on the whole set.

    Example: with ``attribute: category`` and ``max_per_value: 2``, a set of ten items with four tops has two tops too
    many. The share is 0.2.
    """

    type: Literal["constraint"] = Field(description="Selects this reward.")
    attribute: str = Field(description="Name of the item attribute, as the catalogue's items carry it.")
    max_per_value: PositiveInt = Field(
        description="Largest number of items of a set that may have the same value of the attribute."
    )
    min_values: NonNegativeInt = Field(
        0,
        description="Smallest number of different values in a set. A missing value counts like an item too many. 0 "
        "leaves this part of the rule out.",
    )
    weight: float = Field(1.0, description="Factor of the share of excess items, which is subtracted from the reward.")

    def build(self, share: float) -> ConstraintReward:
        """The reward."""
        return ConstraintReward(self)


class ConstraintReward:
    """Minus the violations of the rule by each answer's set, divided by its number of items.

    An empty set gets 0 without ``min_values``.
    """

    def __init__(self, config: ConstraintConfig) -> None:
        self._config, self._attribute = config, config.attribute

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """Components, (B,) each: "reward", at most 0, and "keeps_rule", 1 if the set keeps the rule.

        The rule ignores items without the attribute.

        Raises:
            ConfigError: No entry of the pool has the attribute.
        """
        sets = [[answers.pool[row].attributes.get(self._attribute) for row in rows] for rows in answers.top_rows]
        if all(value is None for values in sets for value in values):
            self._check_attribute(answers.pool)
        most, least = self._config.max_per_value, self._config.min_values
        violations_B = np.array([rule_violations(values, most, least) for values in sets], np.float32)
        sizes_B = np.array([max(1, len(values)) for values in sets], np.float32)
        return {"reward": -violations_B / sizes_B, "keeps_rule": (violations_B == 0).astype(np.float32)}

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
