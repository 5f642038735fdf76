"""Texts to unit vectors: a model, a projection that is fitted on the catalogue, and the embed stage."""

from r4t_ray.encoders.embed import load_embeddings, run, set_text
from r4t_ray.encoders.encoder import CachedEncoder, Encoder, load_encoder
from r4t_ray.encoders.models import resolve_model
from r4t_ray.encoders.sentence_transformer import EncoderConfig

__all__ = [
    "CachedEncoder",
    "Encoder",
    "EncoderConfig",
    "load_embeddings",
    "load_encoder",
    "resolve_model",
    "run",
    "set_text",
]
