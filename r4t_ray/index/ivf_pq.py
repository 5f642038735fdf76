"""Inverted lists of product quantizer codes (Jegou et al., 2011), scanned by SIMD (fast scan), with a re-ranking.

A code has 4 bits for each two numbers of a row. So a row of width D takes D / 4 bytes in its list and 8 for its number,
and 4 D in the IndexFlat of the re-ranking.
"""

from __future__ import annotations

import faiss

from r4t_ray.index.flat import typed
from r4t_ray.index.ivf import compressed
from r4t_ray.types import Array

BITS = 4


def train_ivf_pq(emb_MD: Array, lists: int) -> faiss.IndexRefineFlat:
    """A trained, empty index: random rotation, inverted lists of codes for the fast scan, float rows."""

    def make(quantizer: faiss.Index, width: int) -> faiss.IndexIVF:
        codes = (width // 2, BITS)  # numbers of a code, and bits of each
        ivf = typed.IndexIVFPQFastScan(quantizer, width, lists, *codes, faiss.METRIC_INNER_PRODUCT)
        ivf.pq.cp.min_points_per_centroid = 1
        made: faiss.IndexIVF = ivf
        return made

    return compressed(emb_MD, make)
