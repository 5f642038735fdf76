"""Stage 2: pairs of a query embedding and an L x d target set, sampled from the frozen fan-out language model (FOLM).

Source: arXiv 2603.06397, sec. 2.4.
"""

from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.pairs.synthesize import run

__all__ = ["PairsConfig", "run"]
