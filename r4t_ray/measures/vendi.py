"""Vendi score (Friedman and Dieng 2023), the diversity of eq. 2 in arXiv 2603.06397."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array


def vendi_scores(emb_BKD: Array) -> Array:
    """Exp of the entropy of the eigenvalues of K/n, K the cosine kernel of n unit vectors.

    Args:
        emb_BKD: Unit rows. An all-zero row stands for a missing vector and adds no diversity.

    Returns:
        (B,) float32 in 1..K: 1 when all rows are equal, K when they are orthogonal; 0 when every row is missing.
    """
    num_B = np.maximum((np.abs(emb_BKD).sum(axis=-1) > 0).sum(axis=-1), 1)
    kernel_BKK = emb_BKD.astype(np.float64) @ np.swapaxes(emb_BKD, -1, -2).astype(np.float64)
    return vendi_of_kernels(kernel_BKK / num_B[:, None, None])


def vendi_of_kernels(kernel_BKK: NDArray[np.float64]) -> Array:
    """``vendi_scores`` of sets by their kernels K/n; 0 for a kernel of zeros."""
    eigenvalues_BK = np.linalg.eigvalsh(kernel_BKK).clip(min=0.0)
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
