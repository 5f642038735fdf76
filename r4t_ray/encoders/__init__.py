"""The text encoder: a model, a projection that is fitted on the catalogue, and the embed stage."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from r4t_ray.encoders.encoder import CachedEncoder, Encoder, load_encoder, load_serving_encoder, set_text
from r4t_ray.encoders.endpoint import EndpointConfig
from r4t_ray.encoders.kinds import AnyEncoderConfig
from r4t_ray.encoders.models import resolve_model
from r4t_ray.encoders.sentence_transformer import EncoderConfig

if TYPE_CHECKING:
    from r4t_ray.encoders.embed import load_embeddings, query_embeddings, run

__all__ = [
    "AnyEncoderConfig",
    "CachedEncoder",
    "Encoder",
    "EncoderConfig",
    "EndpointConfig",
    "load_embeddings",
    "load_encoder",
    "load_serving_encoder",
    "query_embeddings",
    "resolve_model",
    "run",
    "set_text",
]


def __getattr__(name: str) -> Any:
    """Import the embed stage, and Ray with it, at the first use of one of its names."""
    if name not in ("load_embeddings", "query_embeddings", "run"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.embed"), name)
