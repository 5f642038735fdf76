"""The settings that every encoder has, and the model that they build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from r4t_ray.config import Operational, Settings
from r4t_ray.types import Array, TextKind


class TextModel(Protocol):
    """A model that embeds texts, before the projection. ``name`` is the model in messages, with its setting."""

    name: str

    def encode(self, texts: Sequence[str], kinds: TextKind | Sequence[TextKind] = "query") -> Array:
        """Unit rows in the order of ``texts``, shape (N, D). ``kinds`` is the kind of all texts, or of each."""
        ...


class EncoderSettings(Settings):
    """The width of the embeddings, and the check of vectors that the catalogue brings along."""

    dim: int = Field(
        128,
        ge=1,
        description="Width of the embeddings after the projection. It is at most the width of the model. A smaller "
        "width saves memory and time.",
    )
    check_vectors: Operational[bool] = Field(
        True,
        description="Embed up to 64 texts of items and sets that have vectors of their own, and refuse vectors that "
        "are no closer to their own texts than to other texts: another model made them. Turn it off if the texts say "
        "nothing about the entries, such as part numbers beside vectors of pictures.",
    )
    expansion_weight: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the queries of `catalogue.expansions` in the vector of their entry, beside 1 for its "
        "own text. Raise it if people describe what they want and name no entry; lower it if they mostly type words "
        "of titles. 0 ignores the expansions.",
    )
