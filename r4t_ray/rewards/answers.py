"""The input of every reward: a batch of answers of the policy, with all that a reward may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from r4t_ray.rewards.retrieved import Retrieved


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """One row of the pool: the text and attributes of an item, or the title of a collection without attributes."""

    text: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """B answers of a policy after embedding and search.

    Attributes:
        query_ids: Id of the query of each answer. Answers with the same id are one group.
        queries: Text of the query of each answer.
        sub_queries: Sub-queries of each answer, k at most; None where the answer could not be parsed.
        retrieved: Embeddings, cosines and hits, axis B in the same order.
        references: Pool rows of the query's reference set; empty where the query has none, as in OAR.
        pool: The entry of every pool row; empty where no reward of the rubric reads entries.
    """

    query_ids: Sequence[str]
    queries: Sequence[str]
    sub_queries: Sequence[tuple[str, ...] | None]
    retrieved: Retrieved
    references: Sequence[Set[int]]
    pool: Sequence[PoolEntry]

    @property
    def top_rows(self) -> list[list[int]]:
        """The set of each answer: pool rows of the nearest entry of each direction, without repeats, ascending."""
        return [sorted({int(row) for row in rows_k if row >= 0}) for rows_k in self.retrieved.hit_rows_BkK[:, :, 0]]
