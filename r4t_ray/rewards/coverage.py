"""The reward of weakly supervised compositional retrieval, eq. 5 of arXiv 2603.06397."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from r4t_ray.measures import recall
from r4t_ray.rewards.fanout import ScoredFanOut
from r4t_ray.types import Array


def coverage_rewards(fanout: ScoredFanOut, references: Sequence[Set[int]]) -> dict[str, Array]:
    """Recall of each fan-out's reference rows by the union of its hits, (B,)."""
    hits = (set(rows_kK.ravel().tolist()) for rows_kK in fanout.hit_rows_BkK)
    coverage_B = np.array([recall(got, want) for got, want in zip(hits, references, strict=True)], dtype=np.float32)
    return {"coverage": coverage_B, "reward": coverage_B}
