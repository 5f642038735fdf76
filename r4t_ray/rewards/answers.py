"""The input of every reward: a batch of the policy's answers, with all data that a reward may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from r4t_ray.rewards.retrieved import Retrieved


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """One row of the pool: an item's text and attributes, or a collection's title without attributes."""

    text: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """B answers of a policy after embedding and search.

    Attributes:
        query_ids: Id of the query of each answer. Answers with the same id are one group.
        queries: Text of the query of each answer.
        sub_queries: Sub-queries of each answer, at most k; None if the answer could not be parsed.
        retrieved: Embeddings, cosines and hits, axis B in the same order.
        references: Pool rows of the query's reference set. It is empty if the query has no reference, as in OAR
            (open-ended abstract retrieval).
        pool: The entry of every pool row. It is empty if no reward of the rubric reads entries.
    """

    query_ids: Sequence[str]
    queries: Sequence[str]
    sub_queries: Sequence[tuple[str, ...] | None]
    retrieved: Retrieved
    references: Sequence[Set[int]]
    pool: Sequence[PoolEntry]

    @property
    def top_rows(self) -> list[list[int]]:
        """The set of each answer: the pool rows nearest to its directions, in ascending order without repeats."""
        return [sorted({int(row) for row in rows_k if row >= 0}) for rows_k in self.retrieved.hit_rows_BkK[:, :, 0]]
