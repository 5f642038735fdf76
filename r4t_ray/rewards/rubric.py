"""The rubric: weighted reward functions. ``weighted_sum`` is the only place where rewards are weighted and added.

Training calls it by ``Rubric.score``. The tables call it by ``oar.oar_reward``, on measures that they have already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from r4t_ray.errors import RewardError
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array

FloatArray = NDArray[np.floating[Any]]


class RewardFn(Protocol):
    """Any callable from a batch of answers to named components.

    A reward of the settings (``added_rewards``) has a component "reward", which is weighted. Other components are only
    logged.
    """

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """Components, (B,) each. A NaN in a weighted component leaves that answer out of the update."""
        ...


@dataclass(frozen=True, kw_only=True)
class WeightedReward:
    """A reward function in a rubric.

    Attributes:
        reward: The function.
        weights: Weight of each component that counts. A component without a weight is only logged.
        name: Prefix of the component names; the component "reward" is logged under the name alone. Without a name,
            components keep their own names.
    """

    reward: RewardFn
    weights: Mapping[str, float]
    name: str = ""

    def logged_name(self, component: str) -> str:
        """The name of a component in the breakdown."""
        if not self.name:
            return component
        return self.name if component == "reward" else f"{self.name}_{component}"


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The spread of a batch of rewards inside its groups. GRPO learns from this spread alone.

    Attributes:
        mean: Mean of the rewards that could be computed.
        std: Mean over groups of the standard deviation of the reward.
        component_std: The same mean for each component, over the groups in which the component has a value.
        num_dropped: Number of answers without a reward (NaN).
        num_degenerate: Number of groups in which all rewards are equal, or fewer than two answers have a reward.
    """

    mean: float
    std: float
    component_std: Mapping[str, float]
    num_dropped: int
    num_degenerate: int


@dataclass(frozen=True, kw_only=True)
class RewardOutput:
    """The rewards of B answers.

    Attributes:
        total_B: The weighted sum; NaN if an answer has no reward.
        breakdown: Every component by its logged name, (B,) each.
        groups: The group of each answer, the id of its query.
    """

    total_B: FloatArray
    breakdown: Mapping[str, FloatArray]
    groups: Sequence[str]

    @property
    def diagnostics(self) -> Diagnostics:
        """Spread of the total and of each component inside the groups."""
        totals = by_group(self.total_B, self.groups)
        stds = [float(np.std(kept)) if len(kept) else 0.0 for kept in totals]
        return Diagnostics(
            mean=float(np.mean(np.concatenate(totals))),
            std=float(np.mean(stds)),
            component_std=component_stds(self.breakdown, self.groups),
            num_dropped=len(self.total_B) - sum(map(len, totals)),
            num_degenerate=sum(std == 0 for std in stds),
        )


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """The reward that RL maximises: reward functions with their weights.

    Attributes:
        rewards: The functions, in the order in which they are summed.
        stand_ins: Component -> the component that takes over its weight where the first has no value (NaN).
    """

    rewards: Sequence[WeightedReward]
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    def score(self, answers: Answers) -> RewardOutput:
        """Call every reward function and sum the weighted components.

        Raises:
            RewardError: No answer has a total, and an added reward left some answers without a grade.
        """
        breakdown: dict[str, Array] = {}
        weights: dict[str, float] = {}
        for each in self.rewards:
            for component, values_B in each.reward(answers).items():
                name = each.logged_name(component)
                breakdown[name] = values_B
                if component in each.weights:
                    weights[name] = each.weights[component]
        total_B = weighted_sum(breakdown, weights, self.stand_ins)
        if np.isnan(total_B).all():
            self._require_grades(breakdown, len(total_B))
        return RewardOutput(total_B=total_B, breakdown=breakdown, groups=answers.query_ids)

    def _require_grades(self, breakdown: Mapping[str, Array], num_answers: int) -> None:
        graded = {each.name for each in self.rewards if each.name}
        missing = {name: int(np.isnan(breakdown[name]).sum()) for name in breakdown if name in graded}
        if not any(missing.values()):
            return
        sums = {name: float(np.nansum(breakdown[name])) for name in breakdown if name.startswith(tuple(graded))}
        raise RewardError(
            f"folm.added_rewards: {', '.join(name for name, count in missing.items() if count)}",
            f"no grade for any of {num_answers} answers (answers without a grade: {missing}, sums: {sums})",
            "a grade for some answers",
            "check that the service of each reward answers and that its budget of calls is not spent",
        )


def weighted_sum(
    components: Mapping[str, FloatArray],
    weights: Mapping[str, float],
    stand_ins: Mapping[str, str] | None = None,
) -> FloatArray:
    """Sum of weight times component, (B,), in the order of ``weights``.

    Args:
        components: (B,) each. Components without a weight are ignored.
        weights: Weight of each component. There must be at least one.
        stand_ins: Component -> the weighted component that takes over its weight where the first is NaN.

    >>> weighted_sum({"a": np.array([1.0, np.nan]), "b": np.array([4.0, 4.0])}, {"a": 0.75, "b": 0.25}).tolist()
    [1.75, nan]
    >>> parts = {"a": np.array([1.0, np.nan]), "b": np.array([4.0, 4.0])}
    >>> weighted_sum(parts, {"a": 0.75, "b": 0.25}, stand_ins={"a": "b"}).tolist()
    [1.75, 4.0]
    """
    weight_of: dict[str, Any] = dict(weights)
    value_of = {name: components[name] for name in weights}
    for name, stand_in in (stand_ins or {}).items():
        is_missing_B = np.isnan(components[name])
        weight_of[name] = np.where(is_missing_B, 0.0, weights[name])
        weight_of[stand_in] = np.where(is_missing_B, weights[name] + weights[stand_in], weights[stand_in])
        value_of[name] = np.nan_to_num(components[name])
    first, *others = weights
    total_B: FloatArray = weight_of[first] * value_of[first]
    for name in others:
        total_B = total_B + weight_of[name] * value_of[name]
    return total_B


def component_stds(breakdown: Mapping[str, FloatArray], groups: Sequence[str]) -> dict[str, float]:
    """Mean over groups of the standard deviation of each component. Components without any value are left out."""
    stds = {
        name: [float(np.std(kept)) for kept in by_group(values_B, groups) if len(kept)]
        for name, values_B in breakdown.items()
    }
    return {name: float(np.mean(of_groups)) for name, of_groups in stds.items() if of_groups}


def by_group(values_B: FloatArray, groups: Sequence[str]) -> list[FloatArray]:
    """The values of each group without NaN. Groups are in the order of their first answer.

    >>> [kept.tolist() for kept in by_group(np.array([1.0, np.nan, 3.0]), ["q", "p", "q"])]
    [[1.0, 3.0], []]
    """
    places: dict[str, list[int]] = {}
    for b, group in enumerate(groups):
        places.setdefault(group, []).append(b)
    return [values_B[of_group][~np.isnan(values_B[of_group])] for of_group in places.values()]
