"""The queries with their reference sets, from which the decoder learns and on which it is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array, Rows


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Queries and the members of their reference sets.

    Attributes:
        z_q_SD: Unit embeddings of the queries.
        rows_N: Pool row of each member.
        queries_N: Position of the query of each member, ascending.
        num_items: Size of the pool, M.
    """

    z_q_SD: Array
    rows_N: Rows
    queries_N: Rows
    num_items: int

    @property
    def share_N(self) -> Array:
        """1 / |Y| for each member of a set Y. The shares of a query sum to 1."""
        return (1 / np.bincount(self.queries_N, minlength=len(self.z_q_SD))[self.queries_N]).astype(np.float32)

    @property
    def seen_M(self) -> NDArray[np.bool_]:
        """Whether a set holds the item."""
        return np.bincount(self.rows_N, minlength=self.num_items) > 0

    def part(self, queries: Rows) -> Examples:
        """The examples of some queries, renumbered in their order."""
        starts_S = np.searchsorted(self.queries_N, np.arange(len(self.z_q_SD) + 1))
        sizes = starts_S[queries + 1] - starts_S[queries]
        first = np.repeat(starts_S[queries] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
        return Examples(
            z_q_SD=self.z_q_SD[queries],
            rows_N=self.rows_N[first + np.arange(sizes.sum())],
            queries_N=np.repeat(np.arange(len(queries)), sizes),
            num_items=self.num_items,
        )


def examples_of(z_q_SD: Array, references: Sequence[Rows], num_items: int) -> Examples:
    """Examples of the queries whose reference set is not empty. An item that a set names twice counts once."""
    distinct = [np.unique(rows) for rows in references]
    kept = [position for position, rows in enumerate(distinct) if len(rows)]
    return Examples(
        z_q_SD=z_q_SD[kept],
        rows_N=np.concatenate([np.zeros(0, np.int64), *(distinct[position] for position in kept)]).astype(np.int64),
        queries_N=np.repeat(np.arange(len(kept)), [len(distinct[position]) for position in kept]).astype(np.int64),
        num_items=num_items,
    )
