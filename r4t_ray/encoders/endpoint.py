"""An encoder behind an OpenAI-compatible /v1/embeddings endpoint: OpenAI, vLLM, Text Embeddings Inference, Ollama."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.config import Operational, Resources
from r4t_ray.encoders.each_text import kind_of_each, require_directions, shown
from r4t_ray.encoders.embeddings_api import EmbeddingsApi, embeddings_url
from r4t_ray.encoders.settings import EncoderSettings
from r4t_ray.endpoints.key import key_of
from r4t_ray.errors import DataError
from r4t_ray.types import Array, TextKind


def http_address(url: str) -> str:
    """The address without spaces at its edges. Raises ValueError as ``embeddings_url``."""
    embeddings_url(url)
    return url.strip()


class EndpointConfig(EncoderSettings):
    """A model that a server runs. Every process that embeds sends its own requests."""

    type: Literal["endpoint"] = Field(
        description="Kind of encoder: a model behind an OpenAI-compatible /v1/embeddings endpoint."
    )
    url: Operational[Annotated[str, AfterValidator(http_address)]] = Field(
        description="Address of the endpoint, http://HOST:PORT/v1/embeddings, or its base, http://HOST:PORT/v1. The "
        "same model may be served elsewhere later: set the new address and run `r4t embed`, which only records it."
    )
    model: str = Field(min_length=1, description="Name of the model at the endpoint.")
    api_key_env: Operational[str | None] = Field(
        None,
        min_length=1,
        description="Name of the environment variable that holds the key, such as OPENAI_API_KEY, so that no file "
        "contains the key. null sends no key.",
    )
    dimensions: PositiveInt | None = Field(
        None,
        description="Width of the vectors to ask for, for models that offer several. null takes the model's own. "
        "Vectors that the catalogue brings along must have the same width.",
    )
    query_prompt: str = Field("", description="Text before each query and sub-query, such as 'query: ' for E5.")
    document_prompt: str = Field("", description="Text before each item and set, such as 'passage: ' for E5.")
    query_fields: dict[str, Any] = Field(
        {}, description="Further fields of a request with queries, such as {input_type: query}."
    )
    document_fields: dict[str, Any] = Field(
        {}, description="Further fields of a request with items and sets, such as {input_type: passage}."
    )
    batch_size: Operational[PositiveInt] = Field(
        32, description="Texts per request. Many servers have a limit. Raise it for a fast one."
    )
    timeout_s: Operational[PositiveFloat] = Field(
        60.0, description="Seconds to wait for an answer to one request. Raise it for a slow server."
    )
    max_retries: Operational[NonNegativeInt] = Field(
        6,
        description="Further tries of a request that got no answer, or an answer such as HTTP 429 or 503. The waits "
        "double from half a second to 30 seconds, or follow the server's Retry-After.",
    )
    actors: Resources = Field(
        Resources(num=1, cpus=0.5),
        description="Actors of the embed stage. Each sends one request at a time, so raise `num` to send more at once.",
    )

    def fingerprint(self) -> None:
        """None: a server's model is identified by its name."""
        return None

    def key(self) -> str | None:
        """The key from the environment. Raises ConfigError if the variable is not set."""
        return None if self.api_key_env is None else key_of(self.api_key_env, "encoder.api_key_env")

    def build(self) -> EndpointEncoder:
        """Prepare the connection, without a request. Raises ConfigError if the key is not set."""
        return EndpointEncoder(self)


class EndpointEncoder:
    """Embeds texts by requests to an endpoint.

    Args:
        config: The settings of the encoder.

    Raises:
        ConfigError: The environment variable of the key is not set.
        MachineError: The proxy that the environment names cannot be used.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self._api = EmbeddingsApi(config.url, config.key(), timeout_s=config.timeout_s, max_retries=config.max_retries)
        self.name, self._batch_size = f"encoder.model '{config.model}'", config.batch_size
        self._prompts: dict[TextKind, str] = {"query": config.query_prompt, "document": config.document_prompt}
        shared = {"model": config.model} | ({} if config.dimensions is None else {"dimensions": config.dimensions})
        self._bodies: dict[TextKind, Mapping[str, Any]] = {
            "query": shared | config.query_fields,
            "document": shared | config.document_fields,
        }
        self._width: int | None = config.dimensions
        self._width_source = "before" if config.dimensions is None else "encoder.dimensions says"

    def encode(self, texts: Sequence[str], kinds: TextKind | Sequence[TextKind] = "query") -> Array:
        """Unit rows in the order of ``texts``, shape (N, D).

        Args:
            texts: The texts, without prompts.
            kinds: The kind of all texts, or the kind of each.

        Raises:
            DataError: The endpoint does not take a text, or gives it a vector of another width than before, a zero
                vector, or one that is not finite.
            ConfigError, MachineError: As ``EmbeddingsApi.embed``.
        """
        given = kind_of_each(texts, kinds)
        vectors: dict[int, Array] = {}
        for kind in dict.fromkeys(given):
            rows = [row for row, own in enumerate(given) if own == kind]
            for start in range(0, len(rows), self._batch_size):
                batch = rows[start : start + self._batch_size]
                vectors |= zip(batch, self._encode_batch([texts[row] for row in batch], kind), strict=True)
        return np.stack([vectors[row] for row in range(len(texts))])

    def _encode_batch(self, texts: Sequence[str], kind: TextKind) -> Array:
        """Unit rows of the texts of one request."""
        vectors = self._api.embed(self._bodies[kind], [self._prompts[kind] + text for text in texts])
        width = self._width if self._width is not None else len(vectors[0])
        for vector, text in zip(vectors, texts, strict=True):
            if len(vector) != width:
                raise DataError(
                    self._api.where,
                    f"a vector of width {len(vector)} for {shown(text)}",
                    f"width {width}, as {self._width_source}",
                    "correct encoder.model or encoder.dimensions, or check what the endpoint serves",
                )
        self._width = width
        raw_ND = np.stack(vectors)
        with np.errstate(over="ignore", invalid="ignore"):
            norms_N1 = np.linalg.norm(raw_ND, axis=1, keepdims=True)
            unit_ND = raw_ND / np.where(norms_N1 == 0, 1.0, norms_N1)
        emb_ND = np.where(np.isfinite(norms_N1), unit_ND, np.nan).astype(np.float32)
        require_directions(emb_ND, texts, self._api.where, "name another encoder.model")
        return emb_ND
