"""Alignment, eq. 4 of arXiv 2603.06397: how near the directions stay to the query."""

from __future__ import annotations

import numpy as np

from r4t_ray.types import Array


def alignment(sub_emb_BKD: Array, query_emb_BD: Array) -> Array:
    """Mean cosine between the directions and their query, all unit rows; an all-zero row is a missing direction.

    Returns:
        (B,) float32; 0 where every direction is missing.
    """
    present_BK = np.abs(sub_emb_BKD).sum(axis=-1) > 0
    cos_BK = np.einsum("bkd,bd->bk", sub_emb_BKD, query_emb_BD)
    return ((cos_BK * present_BK).sum(axis=-1) / np.maximum(present_BK.sum(axis=-1), 1)).astype(np.float32)
