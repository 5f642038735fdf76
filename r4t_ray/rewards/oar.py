"""The reward of open-ended abstract retrieval, eq. 1 of arXiv 2603.06397.

Where we leave the paper: (1) the Vendi score enters as Vendi / k, in 0..1, for its scale is not stated there; (2) a
fan-out without directions is worth 0.
"""

from __future__ import annotations

from pydantic import NonNegativeFloat

from r4t_ray.config import Settings
from r4t_ray.measures import alignment, groundedness, vendi_scores
from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.types import Array


class OARConfig(Settings):
    """Weights of the three components."""

    w_ground: NonNegativeFloat = 0.6
    w_div: NonNegativeFloat = 0.2
    w_align: NonNegativeFloat = 0.2


def oar_reward(ground_B: Array, div_B: Array, align_B: Array, config: OARConfig) -> Array:
    """w_ground r_ground + w_div r_div + w_align r_align, each (B,); ``div_B`` is Vendi / k."""
    return config.w_ground * ground_B + config.w_div * div_B + config.w_align * align_B


def oar_rewards(fanout: ScoredFanOut, config: OARConfig) -> dict[str, Array]:
    """The components and the reward of each fan-out, (B,) each: groundedness, vendi, alignment, reward."""
    k = fanout.sub_emb_BkD.shape[1]
    parts = {
        "groundedness": groundedness(fanout.nearest_cos_Bk),
        "vendi": vendi_scores(fanout.nearest_emb_BkD) / k,
        "alignment": alignment(fanout.sub_emb_BkD, fanout.query_emb_BD),
    }
    reward_B = oar_reward(parts["groundedness"], parts["vendi"], parts["alignment"], config)
    return {**parts, "reward": reward_B}
