"""Diversity, groundedness, alignment and coverage of a set, eqs. 2 to 5 of arXiv 2603.06397."""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array


def vendi_scores(emb_BKD: Array) -> Array:
    """Vendi score (arXiv 2210.02410; eq. 2): exp of the entropy of the eigenvalues of K/n.

    K is the cosine kernel of the n unit vectors of a set.

    Args:
        emb_BKD: Unit rows. An all-zero row stands for a missing vector and adds no diversity.

    Returns:
        (B,) float32 in 1..K: 1 when all rows are equal, K when they are orthogonal; 0 when every row is missing.
    """
    num_B = np.maximum((np.abs(emb_BKD).sum(axis=-1) > 0).sum(axis=-1), 1)
    kernel_BKK = emb_BKD.astype(np.float64) @ np.swapaxes(emb_BKD, -1, -2).astype(np.float64)
    return vendi_of_kernels(kernel_BKK / num_B[:, None, None])


def vendi_scores_of_k(emb_BKD: Array) -> Array:
    """Vendi score of a set that should have K vectors, so that a missing vector can only lower it.

    The kernel is K/k for any number n of present vectors. The share (k - n)/k of the missing ones is added to its
    largest eigenvalue. The eigenvalues then majorise the eigenvalues of any complete set with the same n vectors,
    because the eigenvalues of a principal submatrix interlace. So their entropy is not larger.

    Args:
        emb_BKD: Unit rows. An all-zero row stands for a missing vector.

    Returns:
        (B,) float32 in 1..K; 1 when every row is missing.
    """
    kernel_BKK = emb_BKD.astype(np.float64) @ np.swapaxes(emb_BKD, -1, -2).astype(np.float64)
    missing_B = 1.0 - (np.abs(emb_BKD).sum(axis=-1) > 0).mean(axis=-1)
    return vendi_of_kernels(kernel_BKK / emb_BKD.shape[1], missing_B)


def vendi_of_kernels(kernel_BKK: NDArray[np.float64], missing_B: NDArray[np.float64] | float = 0.0) -> Array:
    """Vendi scores of B sets from their kernels K/n, (B,) float32; 0 for a kernel of zeros.

    ``missing_B`` is added to the largest eigenvalue of each kernel (``vendi_scores_of_k``).
    """
    eigenvalues_BK = np.linalg.eigvalsh(kernel_BKK).clip(min=0.0)
    eigenvalues_BK[..., -1] += missing_B
    total_B = eigenvalues_BK.sum(axis=-1)
    logs_BK = np.log(eigenvalues_BK, out=np.zeros_like(eigenvalues_BK), where=eigenvalues_BK > 0)
    scores_B = np.exp(-(eigenvalues_BK * logs_BK).sum(axis=-1))
    return np.where(total_B > 0, scores_B, 0.0).astype(np.float32)


def vendi_score(emb_KD: Array) -> float:
    """``vendi_scores`` of one set.

    >>> import numpy as np
    >>> round(vendi_score(np.eye(3, dtype=np.float32)), 4)
    3.0
    """
    return float(vendi_scores(emb_KD[None])[0])


def groundedness(nearest_cos_BK: Array) -> Array:
    """Eq. 3: 1 minus the mean Euclidean distance between a direction and its nearest pool entry.

    The distance between unit vectors is sqrt(2 - 2 cos). The value is therefore 1 if every direction is an entry of the
    pool, and -1 if every direction is opposite to all entries.

    Args:
        nearest_cos_BK: Cosine between each direction and its nearest entry; NaN marks a missing direction.

    Returns:
        (B,) float32; 0 where every direction is missing.

    >>> import numpy as np
    >>> groundedness(np.array([[1.0, 0.5]], dtype=np.float32)).tolist()
    [0.5]
    """
    distance_BK = unit_distance(nearest_cos_BK)
    present_BK = np.isfinite(distance_BK)
    num_B = present_BK.sum(axis=-1)
    mean_B = np.where(present_BK, distance_BK, 0.0).sum(axis=-1) / np.maximum(num_B, 1)
    return np.where(num_B > 0, 1.0 - mean_B, 0.0).astype(np.float32)


def unit_distance(cos: Array) -> NDArray[np.float64]:
    """Euclidean distance sqrt(2 - 2 cos) between unit vectors, from their cosines (any shape). NaN stays NaN.

    >>> import numpy as np
    >>> unit_distance(np.array([1.0, 0.5, -1.0], dtype=np.float32)).tolist()
    [0.0, 1.0, 2.0]
    """
    return np.sqrt(np.clip(2.0 - 2.0 * cos.astype(np.float64), 0.0, None))


def alignment(sub_emb_BKD: Array, query_emb_BD: Array) -> Array:
    """Eq. 4: mean cosine between the directions of a set and their query, all unit rows.

    An all-zero row is a missing direction and does not enter the mean.

    Returns:
        (B,) float32; 0 where every direction is missing.
    """
    present_BK = np.abs(sub_emb_BKD).sum(axis=-1) > 0
    cos_BK = np.einsum("bkd,bd->bk", sub_emb_BKD, query_emb_BD)
    return ((cos_BK * present_BK).sum(axis=-1) / np.maximum(present_BK.sum(axis=-1), 1)).astype(np.float32)


def recall(retrieved: Set[object], reference: Set[object]) -> float:
    """Eq. 5: |Y ∩ R(Q)| / |Y|, the share of the reference Y that was retrieved.

    Raises:
        ValueError: The reference is empty. Recall is then undefined.

    >>> recall({1, 2, 3}, {2, 9})
    0.5
    """
    if not reference:
        raise ValueError("recall of an empty reference set is undefined")
    return len(retrieved & reference) / len(reference)


def hit(retrieved: Set[object], reference: Set[object]) -> float:
    """1.0 when at least one reference item was retrieved, else 0.0."""
    return 1.0 if retrieved & reference else 0.0
