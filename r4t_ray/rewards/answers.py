"""What a reward of one's own may look at, and the form it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.types import Array


@dataclass(frozen=True)
class PoolEntry:
    """One row of the pool: an item's text and attributes, or a collection's title and none."""

    text: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """B answers of a policy after embedding and search.

    Attributes:
        queries: The text of the query of each answer.
        sub_queries: Its sub-queries, k at most; None where the answer could not be parsed.
        scored: Embeddings, cosines and hits, axis B in the same order.
        pool: The entry of every pool row that ``scored`` names.
    """

    queries: Sequence[str]
    sub_queries: Sequence[tuple[str, ...] | None]
    scored: ScoredFanOut
    pool: Sequence[PoolEntry]

    @property
    def top_rows(self) -> list[list[int]]:
        """The set of each answer: the nearest entry of each of its directions, each once, in the order of the rows."""
        return [sorted({int(row) for row in rows_k if row >= 0}) for rows_k in self.scored.hit_rows_BkK[:, :, 0]]


class SetReward(Protocol):
    """A reward of one's own: any callable from answers to components."""

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """Components, (B,) each, "reward" among them; a NaN in "reward" leaves that answer out of the update."""
        ...
