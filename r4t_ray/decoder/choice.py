"""What is chosen on validation queries: beta, and one constant that is added to the bias of all seen items.

A seen item is one that a training set holds. The constant decides how many of an answer's items are seen ones. During
training it is taken at the lowest validation loss. At the end it is chosen together with beta, by recall.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r4t_ray.decoder.examples import Examples
from r4t_ray.types import Array, Rows

BETAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
SEEN_BIASES = tuple(np.arange(-5.0, 3.01, 0.25).tolist())

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chosen beta, the constant added to b_i of all seen items, and the validation recalls that they reach."""

    beta: float
    seen_bias: float
    recall: float
    recall_seen: float
    recall_unseen: float

    @property
    def balanced(self) -> float:
        """Mean of the two recalls of a part. If all references are of one part, the recall of that part."""
        return float(np.nanmean([self.recall_seen, self.recall_unseen]))


def loss_at_best_bias(scores_BM: Array, examples: Examples, seen_M: NDArray[np.bool_]) -> float:
    """The lowest loss of the training over a constant d added to the scores of the seen items.

    The loss is the mean over queries of ln(e^d A + B) - d f - h. A and B are the sums of e^s over the seen and over the
    other items, f is the share of seen items in the reference set, and h is the mean score of its items.
    """
    seen_B, other_B = (np.logaddexp.reduce(scores_BM, axis=1, where=part_M) for part_M in (seen_M, ~seen_M))
    rows_N, queries_N, share_N = examples.rows_N, examples.queries_N, examples.share_N
    held_B = np.bincount(queries_N, share_N * scores_BM[queries_N, rows_N], len(scores_BM))
    share_seen_B = np.bincount(queries_N, share_N * seen_M[rows_N], len(scores_BM))
    losses = [
        float(np.mean(np.logaddexp(seen_B + bias, other_B) - bias * share_seen_B - held_B)) for bias in SEEN_BIASES
    ]
    return min(losses)


def choose(scores_BM: Array, nearest_BM: Array, examples: Examples, seen_M: NDArray[np.bool_], budget: int) -> Choice:
    """Choose beta and the constant with the highest mean of the recall of seen and of unseen reference items.

    Plain recall would choose a decoder that neglects the items of no training set. Ties go to the smaller beta.

    Args:
        scores_BM: Scores of the validation queries without their directions.
        nearest_BM: max_j cos(z_j, e_i) of their directions.
        examples: Their reference sets.
        seen_M: Whether a training set holds the item.
        budget: Items of an answer.
    """
    is_member_BM = np.zeros(scores_BM.shape, dtype=bool)
    is_member_BM[examples.queries_N, examples.rows_N] = True
    tried = []
    for beta in BETAS:
        parts = [top_of(scores_BM + np.float32(beta) * nearest_BM, part_M, budget) for part_M in (seen_M, ~seen_M)]
        tried += [_recalls(parts, is_member_BM, seen_M, budget, beta=beta, bias=bias) for bias in SEEN_BIASES]
    best = max(tried, key=lambda choice: choice.balanced)
    recalls = f"{best.recall:.4f} (seen items {best.recall_seen:.4f}, unseen items {best.recall_unseen:.4f})"
    _logger.info(
        "decoder: beta %g and seen bias %g give validation recall@%d %s", best.beta, best.seen_bias, budget, recalls
    )
    return best


def top_of(scores_BM: Array, part_M: NDArray[np.bool_], num: int) -> tuple[Array, Rows]:
    """Scores and rows of the ``num`` best items of a part of the pool, in no order, both (B, K)."""
    rows = np.flatnonzero(part_M)
    scores_BK = scores_BM[:, rows]
    best_BK = np.argpartition(-scores_BK, min(num, len(rows)) - 1, axis=1)[:, :num] if len(rows) else scores_BK
    best_BK = best_BK.astype(np.int64)
    return np.take_along_axis(scores_BK, best_BK, axis=1), rows[best_BK]


def _recalls(
    parts: list[tuple[Array, Rows]],
    is_member_BM: NDArray[np.bool_],
    seen_M: NDArray[np.bool_],
    budget: int,
    *,
    beta: float,
    bias: float,
) -> Choice:
    """The recalls of the ``budget`` best items when ``bias`` is added to the scores of the seen items, parts[0]."""
    (seen_scores_BK, seen_rows_BK), (other_scores_BK, other_rows_BK) = parts
    scores_BK = np.concatenate([seen_scores_BK + bias, other_scores_BK], axis=1)
    rows_BK = np.concatenate([seen_rows_BK, other_rows_BK], axis=1)
    kept_BK = np.argsort(-scores_BK, axis=1, kind="stable")[:, :budget]
    rows_BK = np.take_along_axis(rows_BK, kept_BK, axis=1)
    hits_BK = np.take_along_axis(is_member_BM, rows_BK, axis=1)
    is_seen_BK = seen_M[rows_BK]
    found = [(hits_BK & part).sum(axis=1) for part in (True, is_seen_BK, ~is_seen_BK)]
    members = [(is_member_BM & part_M).sum(axis=1) for part_M in (True, seen_M, ~seen_M)]
    means = [
        float((hit_B[size_B > 0] / size_B[size_B > 0]).mean()) if size_B.any() else float("nan")
        for hit_B, size_B in zip(found, members, strict=True)
    ]
    return Choice(beta=beta, seen_bias=bias, recall=means[0], recall_seen=means[1], recall_unseen=means[2])
