"""The sub-queries of a batch of answers after embedding and search."""

from __future__ import annotations

from dataclasses import dataclass

from r4t_ray.types import Array, Rows


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """B answers with up to k directions each. A missing direction has zero embeddings, NaN cosines and pool row -1.

    Attributes:
        query_emb_BD: Unit rows.
        sub_emb_BkD: Embeddings of the directions.
        nearest_cos_Bk: Cosine between each direction and its nearest pool entry.
        nearest_emb_BkD: Embedding of that entry, the c_i* of eq. 2 of arXiv 2603.06397.
        hit_rows_BkK: Pool rows of the K nearest entries of each direction, nearest first.
    """

    query_emb_BD: Array
    sub_emb_BkD: Array
    nearest_cos_Bk: Array
    nearest_emb_BkD: Array
    hit_rows_BkK: Rows
