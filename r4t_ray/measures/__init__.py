"""Pure measures of a set of results. Training (``rewards/``) and the tables (``evaluation/``) call the same ones."""

from r4t_ray.measures.set_measures import (
    alignment,
    groundedness,
    hit,
    recall,
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
