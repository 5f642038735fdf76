"""Set rewards: measures, weights and what an unusable answer is worth. One file a reward."""

from r4t_ray.rewards.coverage import CoverageConfig, coverage_rewards, expected_coverage
from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.rewards.oar import OARConfig, oar_reward, oar_rewards

__all__ = [
    "CoverageConfig",
    "OARConfig",
    "ScoredFanOut",
    "coverage_rewards",
    "expected_coverage",
    "oar_reward",
    "oar_rewards",
]
