"""The reward of weakly supervised compositional retrieval (WSCR), eq. 5 of arXiv 2603.06397.

Where we leave the paper: a share of the reward may be expected coverage, which is estimated from the sets of similar
queries. Coverage of a reference of a few items is noisy, and the sets of similar queries estimate nearly the same value
with less noise. Expected coverage also rewards queries that have no reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat
from scipy.sparse import csr_array

from r4t_ray.config import Settings
from r4t_ray.measures import recall
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array, Rows

ExpectedItems = Callable[[Sequence[str], Array], Array]
"""``(query ids, query_emb_QD) -> score_QM``: how strongly each pool item is expected in the set of each query."""


EXPECTED_SHARE = 0.9
"""Share of expected coverage where items recur and the settings name no share."""


class CoverageConfig(Settings):
    """The coverage reward of WSCR. The defaults give eq. 5."""

    expected_share: Annotated[float, Field(ge=0.0, le=1.0)] | None = Field(
        0.0,
        description="Share of the reward that is expected coverage. The rest is coverage of the query's own reference "
        "(eq. 5). Raise it if references are small. null takes 0.9 if training sets hold at least half of a validation "
        "set's items, else 0: similar sets then say nothing about the items of a set.",
    )
    temperature: PositiveFloat = Field(
        0.05,
        description="Temperature of the softmax over the cosines with similar queries, whose sets give the expected "
        "items. A lower value gives more weight to the nearest sets. It has no effect if expected_share is 0.",
    )

    def for_catalogue(self, recurs: bool) -> CoverageConfig:
        """The settings with a share in place of null; ``recurs`` says whether items recur in the catalogue."""
        share = EXPECTED_SHARE if recurs else 0.0
        return self if self.expected_share is not None else self.model_copy(update={"expected_share": share})

    @property
    def weights(self) -> dict[str, float]:
        """The weights by component. If ``expected_share`` is 0, only coverage has one. It must not be None."""
        share = self.expected_share
        assert share is not None, "for_catalogue comes first"
        return {"coverage": 1 - share, "expected": share} if share > 0 else {"coverage": 1.0}


def coverage_components(answers: Answers) -> dict[str, Array]:
    """Recall of each query's reference by the union of the answer's hits, (B,); NaN if the reference is empty."""
    hits = (set(rows_kK.ravel().tolist()) for rows_kK in answers.retrieved.hit_rows_BkK)
    recalls = [recall(got, want) if want else np.nan for got, want in zip(hits, answers.references, strict=True)]
    return {"coverage": np.array(recalls, dtype=np.float32)}


@dataclass(frozen=True, kw_only=True)
class ExpectedCoverage:
    """The share of a query's total expected score that the union of the answer's hits holds."""

    expected_items: ExpectedItems

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """The component "expected", (B,) in 0..1; 0 if no item is expected. Each query is scored once."""
        place_of = {name: b for b, name in reversed(list(enumerate(answers.query_ids)))}
        asked = list(dict.fromkeys(answers.query_ids))
        query_emb_QD = answers.retrieved.query_emb_BD[[place_of[name] for name in asked]]
        score_QM = self.expected_items(asked, query_emb_QD)
        row_of = {name: row for row, name in enumerate(asked)}
        rows_B = [row_of[name] for name in answers.query_ids]
        return {"expected": expected_coverage(answers.retrieved.hit_rows_BkK, [score_QM[row] for row in rows_B])}


def expected_coverage(hit_rows_BkK: Rows, scores_B: Sequence[Array]) -> Array:
    """The share of each query's total score that the hits of its answer hold, (B,) in 0..1.

    Args:
        hit_rows_BkK: Pool rows; -1 marks a missing hit.
        scores_B: For each answer, how strongly each of the M items of the pool is expected, (M,). Zeros give 0.
    """
    covered_B = np.zeros(len(scores_B), np.float32)
    for b, (rows_kK, score_M) in enumerate(zip(hit_rows_BkK, scores_B, strict=True)):
        rows = np.unique(rows_kK[rows_kK >= 0])
        covered_B[b] = score_M[rows].sum() / max(float(score_M.sum()), 1e-12)
    return covered_B


def membership(sets: Sequence[Sequence[str]], pool_ids: Sequence[str]) -> csr_array:
    """``member_BM``, a sparse matrix: 1 where item m of the pool is in set b, else 0.

    Raises:
        KeyError: The pool lacks an item of a set.

    >>> membership([["b"], ["a", "c"]], ["a", "b", "c"]).toarray().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    row_of = {item_id: row for row, item_id in enumerate(pool_ids)}
    rows = [sorted({row_of[item_id] for item_id in item_ids}) for item_ids in sets]
    ends = np.cumsum([0, *map(len, rows)])
    columns_N = np.fromiter(chain.from_iterable(rows), np.int64, count=ends[-1])
    return csr_array((np.ones(len(columns_N), np.float32), columns_N, ends), shape=(len(sets), len(pool_ids)))


def expected_items(
    query_emb_BD: Array, set_emb_VD: Array, member_VM: csr_array, temperature: float, votes_BV: NDArray[np.bool_]
) -> Array:
    """The items expected for each query: the softmax-weighted mean of the sets of similar queries.

    The weights take B x V and the result B x M numbers. For many queries call it on blocks of them.

    Args:
        query_emb_BD: Unit rows.
        set_emb_VD: Unit rows, the queries of the V sets.
        member_VM: 1 where item m is in set v; see ``membership``.
        temperature: Temperature of the softmax over cosines. With a low one only the nearest sets count.
        votes_BV: True where set v votes on query b. Every query needs at least one voter.

    Returns:
        ``score_BM``. A row sums to the weighted mean size of the sets.
    """
    weights_BV = np.where(votes_BV, query_emb_BD @ set_emb_VD.T / temperature, -np.inf)
    weights_BV = np.exp(weights_BV - weights_BV.max(axis=1, keepdims=True))
    return np.asarray(weights_BV / weights_BV.sum(axis=1, keepdims=True) @ member_VM, np.float32)
