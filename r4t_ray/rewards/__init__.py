"""Set rewards: measures, weights and what an unusable answer is worth. One file a reward."""

from r4t_ray.rewards.coverage import coverage_rewards
from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.rewards.oar import OARConfig, oar_reward, oar_rewards

__all__ = ["OARConfig", "ScoredFanOut", "coverage_rewards", "oar_reward", "oar_rewards"]
