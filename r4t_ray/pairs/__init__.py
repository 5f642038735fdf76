"""Stage 2: (query embedding, L x d target) pairs from the frozen fan-out model (arXiv 2603.06397, sec. 2.4)."""

from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.pairs.synthesize import run

__all__ = ["PairsConfig", "run"]
