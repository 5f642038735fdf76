"""The reward of weakly supervised compositional retrieval, eq. 5 of arXiv 2603.06397."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from r4t_ray.config import Settings
from r4t_ray.measures import recall
from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.types import Array


class CoverageConfig(Settings):
    """What RL counts as covered; the defaults are eq. 5.

    ``expected_share`` of the reward is ``expected_coverage``, the rest is eq. 5. A reference of a few items says little
    about one fan-out, while what the sets of similar queries hold says much the same with less chance in it.
    ``temperature`` is that of the softmax over the cosines of the queries.
    """

    expected_share: float = Field(0.0, ge=0.0, le=1.0)
    temperature: PositiveFloat = 0.05


def coverage_rewards(fanout: ScoredFanOut, references: Sequence[Set[int]]) -> dict[str, Array]:
    """Recall of each fan-out's reference rows by the union of its hits, (B,); NaN where the reference is empty."""
    hits = (set(rows_kK.ravel().tolist()) for rows_kK in fanout.hit_rows_BkK)
    coverage = [recall(got, want) if want else np.nan for got, want in zip(hits, references, strict=True)]
    coverage_B = np.array(coverage, dtype=np.float32)
    return {"coverage": coverage_B, "reward": coverage_B}


def expected_coverage(fanout: ScoredFanOut, score_BM: Array) -> Array:
    """The share of a query's total score that the union of its hits holds, (B,).

    ``score_BM`` is how much each of the M items of the pool is expected in the query's set; a row of zeros gives 0.
    """
    covered_B = np.zeros(len(score_BM), np.float32)
    for b, rows_kK in enumerate(fanout.hit_rows_BkK):
        rows = np.unique(rows_kK[rows_kK >= 0])
        covered_B[b] = score_BM[b, rows].sum() / max(float(score_BM[b].sum()), 1e-12)
    return covered_B


def blend_expected(coverage_B: Array, expected_B: Array, share: float) -> NDArray[np.float64]:
    """``share`` of the expected coverage, the rest eq. 5; all of it where there is no reference (NaN)."""
    share_B = np.where(np.isnan(coverage_B), 1.0, share)
    return (1 - share_B) * np.nan_to_num(coverage_B) + share_B * expected_B
