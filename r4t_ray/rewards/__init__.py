"""Rewards: functions from a batch of answers to components, and the rubric that weights and sums the components.

Every reward is a ``RewardFn``: it reads ``Answers`` and returns named components, one number for each answer. Only
``Rubric.score`` takes a weighted sum. To add a reward:

1. one file here, ``rewards/NAME.py``: a callable that returns ``{"reward": ..., ...}``, and above it a ``NAMEConfig``
   with ``type: Literal["NAME"]``, ``weight`` and ``build(share)`` (``rewards/format.py`` is the shortest example);
2. one line in ``AddedRewardConfig`` of ``rewards/build.py``;
3. in the YAML, an entry ``{type: NAME, weight: ...}`` of ``folm.added_rewards.oar`` or ``.wscr``.

A class outside this package needs only step 3, with ``type: module:Class`` (``rewards/custom.py``).
"""

from r4t_ray.rewards.answers import Answers, PoolEntry
from r4t_ray.rewards.back_translation import (
    BackTranslationConfig,
    BackTranslationReward,
    QueryLogProbs,
    ScoreQueries,
)
from r4t_ray.rewards.build import (
    AddedRewardConfig,
    OARRewardConfig,
    build_added,
    oar_rubric,
    weights_of_eq_1,
    wscr_rubric,
)
from r4t_ray.rewards.coverage import CoverageConfig
from r4t_ray.rewards.oar import OARConfig, oar_reward
from r4t_ray.rewards.retrieved import Retrieved
from r4t_ray.rewards.rubric import Diagnostics, RewardFn, RewardOutput, Rubric, WeightedReward
from r4t_ray.rewards.specific import SpecificConfig, SpecificReward, specific_components

__all__ = [
    "AddedRewardConfig",
    "Answers",
    "BackTranslationConfig",
    "BackTranslationReward",
    "CoverageConfig",
    "Diagnostics",
    "OARConfig",
    "OARRewardConfig",
    "PoolEntry",
    "QueryLogProbs",
    "Retrieved",
    "RewardFn",
    "RewardOutput",
    "Rubric",
    "ScoreQueries",
    "SpecificConfig",
    "SpecificReward",
    "WeightedReward",
    "build_added",
    "oar_reward",
    "oar_rubric",
    "specific_components",
    "weights_of_eq_1",
    "wscr_rubric",
]
