"""The text encoder in ONNX Runtime, for serving: the same vectors as the model in torch, in less time per query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r4t_ray.encoders.each_text import kind_of_each, require_directions
from r4t_ray.onnx_export import open_session
from r4t_ray.types import Array, TextKind

MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"
TOKENS, MASK, VECTORS = "input_ids", "attention_mask", "sentence_embedding"
"""Names of the two inputs, (B, T) int64 each, and of the output, (B, D) float32 unit rows."""
BATCH_SIZE = 64
"""Texts of one pass. Texts of similar length share a pass."""


class OnnxModel:
    """A text model in ONNX Runtime on the CPU, before the projection.

    Args:
        folder: Holds MODEL_FILE and TOKENIZER_FILE, which cuts and pads texts as the model wants them.
        name: The model in messages, with its setting.
        prompts: Text before each kind of text.
        threads: Threads of a pass. They sleep while they wait.

    Raises:
        RuntimeError: A file is no ONNX model or no tokenizer. The caller checks the sha256 of both before.
    """

    def __init__(self, folder: Path, name: str, prompts: Mapping[TextKind, str], threads: int) -> None:
        from tokenizers import Tokenizer

        self.name, self._prompts = name, prompts
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._session = open_session(folder / MODEL_FILE, threads)
        self.native_dim = int(self._session.get_outputs()[0].shape[1])

    def encode(self, texts: Sequence[str], kinds: TextKind | Sequence[TextKind] = "query") -> Array:
        """Unit rows in the order of ``texts``, shape (N, native_dim).

        Args:
            texts: The texts, without prompts.
            kinds: The kind of all texts, or the kind of each.

        Raises:
            DataError: The model gives a text a vector that is zero or not finite.
        """
        given = kind_of_each(texts, kinds)
        prompted = [(self._prompts[kind] + text).strip() for kind, text in zip(given, texts, strict=True)]
        order = np.argsort([-len(text) for text in prompted], kind="stable")
        out_ND = np.empty((len(texts), self.native_dim), np.float32)
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            out_ND[rows] = self._vectors([prompted[row] for row in rows])
        require_directions(out_ND, texts, self.name, "name another encoder.model")
        return out_ND

    def _vectors(self, texts: Sequence[str]) -> Array:
        tokens = self._tokenizer.encode_batch(list(texts))
        inputs: dict[str, Any] = {
            TOKENS: np.array([one.ids for one in tokens], np.int64),
            MASK: np.array([one.attention_mask for one in tokens], np.int64),
        }
        vectors: Array = self._session.run([VECTORS], inputs)[0]
        return vectors
