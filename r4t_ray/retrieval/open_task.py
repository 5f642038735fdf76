"""The facts of one task that retrieval needs: its pool, the names of directions, and the models that answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
        attributes: What filters, caps and payloads read. With None every request for them is refused.
    """

    task: Task
    pool: Pool
    model: ModelInfo
    labels: Labels | None = None
    decoder: QueryDecoder | None = None
    attributes: PoolAttributes | None = None
