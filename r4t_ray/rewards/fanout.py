"""What a reward reads: a batch of fan-outs after embedding and search."""

from __future__ import annotations

from dataclasses import dataclass

from r4t_ray.types import Array, Rows


@dataclass(frozen=True)
class ScoredFanOut:
    """B fan-outs of up to k directions; a missing direction has zero rows, NaN cosines and row -1.

    Attributes:
        query_emb_BD: Unit rows.
        sub_emb_BkD: Embeddings of the directions.
        nearest_cos_Bk: Cosine with the nearest pool entry.
        nearest_emb_BkD: Embedding of the nearest pool entry, the c_i* of eq. 2.
        hit_rows_BkK: Pool rows of the K nearest entries.
    """

    query_emb_BD: Array
    sub_emb_BkD: Array
    nearest_cos_Bk: Array
    nearest_emb_BkD: Array
    hit_rows_BkK: Rows
