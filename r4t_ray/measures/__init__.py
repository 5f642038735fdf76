"""Pure set measures: what is trained on and what is reported call the same functions."""

from r4t_ray.measures.alignment import alignment
from r4t_ray.measures.coverage import hit, recall
from r4t_ray.measures.groundedness import groundedness, unit_distance
from r4t_ray.measures.vendi import vendi_of_kernels, vendi_score, vendi_scores

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
