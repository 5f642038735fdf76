"""The facts of one task that retrieval needs: its pool, the names of directions, and the models that answer."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.decoder import QueryDecoder
from r4t_ray.retrieval.response import ModelInfo
from r4t_ray.types import Array, Task

if TYPE_CHECKING:
    from r4t_ray.retrieval.filtering.attributes import PoolAttributes


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Ids and texts of what a task retrieves, in the row order of the index; ``row_of`` maps an id to its row."""

    ids: list[str]
    texts: list[str]
    row_of: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "row_of", {identifier: row for row, identifier in enumerate(self.ids)})

    @cached_property
    def text_codes_M(self) -> NDArray[np.int32]:
        """A number for each entry. Entries whose texts differ in case, width or white space alone share it."""
        codes: dict[str, int] = {}
        return np.array([codes.setdefault(normalised(text), len(codes)) for text in self.texts], np.int32)


def normalised(text: str) -> str:
    """A text without differences of case, width and white space.

    >>> normalised(" Crème\u00a0 BRÛLÉE") == normalised("crème brûlée")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The most frequent sub-queries or entries in the training pairs, and their unit embeddings (N, D)."""

    texts: list[str]
    emb_ND: Array


@dataclass(frozen=True, kw_only=True)
class OpenTask:
    """One task, ready to answer.

    Attributes:
        task: Its name.
        pool: The items or collections that it retrieves.
        model: The artifacts and the sampler that answer.
        labels: Names for directions. None if the pairs stage kept no sub-queries.
        decoder: Scores the items. None for oar, whose items are scored by their cosine to a direction.
        dim: Width of the index.
        index_type: Its type.
        num_shards: Its shards, without the new entries of `r4t add`.
        mmr_lambda: Weight of relevance of the method mmr.
        attributes: What filters, caps and payloads read. With None every request for them is refused.
    """

    task: Task
    pool: Pool
    model: ModelInfo
    labels: Labels | None = None
    decoder: QueryDecoder | None = None
    dim: int = 0
    index_type: str = "flat"
    num_shards: int = 1
    mmr_lambda: float = 0.6
    attributes: PoolAttributes | None = None
