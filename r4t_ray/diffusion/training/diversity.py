"""The one setting of the solver top_anchors that is tuned after training: the weight of diversity."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from r4t_ray.diffusion.generation import generate
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.settings import SamplerConfig
from r4t_ray.measures import vendi_scores

MOST_DIVERSITY = 64.0
"""Largest weight that is tried, in nats."""
NUM_HALVINGS = 10
MAX_SETS = 256


def tuned_diversity(retriever: DiffusionRetriever, z_q_BD: Tensor, target_BLD: Tensor) -> float:
    """The weight of diversity at which the answers to validation queries are as diverse as their targets.

    Diversity is the mean Vendi score of the L rows. It grows with the weight, so bisection finds the weight. The weight
    is 0 if the most likely anchors alone are as diverse as the targets. The picks are among all anchors: among the
    sampler's ``candidates`` that diversity may be out of reach.

    Args:
        retriever: In evaluation mode, with anchors.
        z_q_BD: Validation queries; the first MAX_SETS are used.
        target_BLD: Their targets.
    """
    z_q_BD, target_BLD = z_q_BD[:MAX_SETS], target_BLD[:MAX_SETS]

    def vendi(rows_BLD: Tensor) -> float:
        return float(vendi_scores(np.asarray(rows_BLD.float().cpu().numpy())).mean())

    def of_answers(diversity: float) -> float:
        return vendi(generate(retriever, z_q_BD, SamplerConfig(solver="top_anchors", diversity=diversity)))

    wanted = vendi(target_BLD)
    if of_answers(0.0) >= wanted:
        return 0.0
    low, high = 0.0, MOST_DIVERSITY
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if of_answers(middle) < wanted else (low, middle)
    return round(high, 2)
