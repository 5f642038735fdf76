"""The kinds of encoder that ``encoder.type`` selects. To add one, write a file like endpoint.py and add it here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from r4t_ray.encoders.endpoint import EndpointConfig
from r4t_ray.encoders.sentence_transformer import EncoderConfig

AnyEncoderConfig = Annotated[EncoderConfig | EndpointConfig, Field(discriminator="type")]

_ADAPTER: TypeAdapter[EncoderConfig | EndpointConfig] = TypeAdapter(AnyEncoderConfig)


def encoder_config(stored: Any) -> EncoderConfig | EndpointConfig:
    """The settings of an encoder from their JSON; raises ValueError if they are none."""
    return _ADAPTER.validate_python(stored)
