"""Set rewards: measures, weights and what an unusable answer is worth. One file a reward."""

from r4t_ray.rewards.added import AddedReward, AddedRewardConfig, add_rewards, build_added
from r4t_ray.rewards.answers import Answers, PoolEntry, SetReward
from r4t_ray.rewards.coverage import CoverageConfig, blend_expected, coverage_rewards, expected_coverage
from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.rewards.oar import OARConfig, oar_reward, oar_rewards

__all__ = [
    "AddedReward",
    "AddedRewardConfig",
    "Answers",
    "CoverageConfig",
    "OARConfig",
    "PoolEntry",
    "ScoredFanOut",
    "SetReward",
    "add_rewards",
    "blend_expected",
    "build_added",
    "coverage_rewards",
    "expected_coverage",
    "oar_reward",
    "oar_rewards",
]
