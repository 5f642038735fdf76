"""Targets: the set of rows that the diffusion retriever learns to generate for the sub-queries of one answer.

Source: arXiv 2603.06397, sec. 2.4.
"""

from __future__ import annotations

import numpy as np

from r4t_ray.rewards import Retrieved
from r4t_ray.types import Array, Task


def target_rows(
    task: Task, retrieved: Retrieved, b: int, pool_emb_MD: Array, num_rows: int, *, nearest_alone: bool = False
) -> Array:
    """The (L, D) target of answer b, which has at least one sub-query.

    For OAR (open-ended abstract retrieval) the rows are content embeddings of the retrieved items: first the nearest
    item of every sub-query, then the second nearest of every sub-query, and so on, each item once. For WSCR (weakly
    supervised compositional retrieval) the rows are the embeddings of the sub-queries. If there are fewer than L rows,
    they are repeated in order.

    Args:
        task: Decides which rows are taken.
        retrieved: A batch of answers after search.
        b: Position of the answer in the batch.
        pool_emb_MD: Content embeddings of the pool.
        num_rows: L.
        nearest_alone: Leave out the second nearest items and those after them, as for entries of a reference.
    """
    present_k = np.isfinite(retrieved.nearest_cos_Bk[b])
    assert present_k.any()
    if task == "wscr":
        rows_ND = retrieved.sub_emb_BkD[b][present_k]
    else:
        by_rank = retrieved.hit_rows_BkK[b][present_k].T[: 1 if nearest_alone else None].ravel().tolist()
        rows_ND = pool_emb_MD[list(dict.fromkeys(by_rank))[:num_rows]]
    return np.asarray(rows_ND[np.arange(num_rows) % len(rows_ND)], np.float32)
