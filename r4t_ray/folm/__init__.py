"""Stage 1: the fan-out language model (arXiv 2603.06397, sec. 2.2 and 2.3)."""

from r4t_ray.folm.engine import EngineConfig
from r4t_ray.folm.fan_out import FanOut, FanOutModel, SharedEngine
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.train import run

__all__ = ["EngineConfig", "FanOut", "FanOutModel", "FolmConfig", "SharedEngine", "run"]
