"""Stage 1: the fan-out language model, FOLM (arXiv 2603.06397, sec. 2.2 and 2.3)."""

from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.folm.policy.model import FanOutModel, SharedEngine, SubQueries
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.train import run

__all__ = ["EngineConfig", "FanOutModel", "FolmConfig", "SharedEngine", "SubQueries", "run"]
