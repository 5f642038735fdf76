"""Pure measures of a set of results. Training (``rewards/``) and the tables (``evaluation/``) call the same ones."""

from r4t_ray.measures.coverage import hit, recall
from r4t_ray.measures.geometric import (
    alignment,
    groundedness,
    unit_distance,
    vendi_of_kernels,
    vendi_score,
    vendi_scores,
)

__all__ = [
    "alignment",
    "groundedness",
    "hit",
    "recall",
    "unit_distance",
    "vendi_of_kernels",
    "vendi_score",
    "vendi_scores",
]
