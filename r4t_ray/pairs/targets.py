"""Targets: what the diffusion retriever learns to emit for one fan-out (arXiv 2603.06397, sec. 2.4)."""

from __future__ import annotations

import numpy as np

from r4t_ray.rewards import Retrieved
from r4t_ray.types import Array, Task


def target_rows(task: Task, retrieved: Retrieved, b: int, pool_emb_MD: Array, num_rows: int) -> Array:
    """The (L, D) target of fan-out b, which has a direction.

    OAR rows are content embeddings of the retrieved items: every direction's nearest item, then every direction's
    second nearest, and so on, each item once. WSCR rows are the sub-query embeddings. Where there are fewer than L,
    they repeat from the first.

    Args:
        task: Decides which rows.
        retrieved: A batch of fan-outs after search.
        b: The fan-out in the batch.
        pool_emb_MD: The pool's content embeddings.
        num_rows: L.
    """
    present_k = np.isfinite(retrieved.nearest_cos_Bk[b])
    assert present_k.any()
    if task == "wscr":
        rows_ND = retrieved.sub_emb_BkD[b][present_k]
    else:
        by_rank = retrieved.hit_rows_BkK[b][present_k].T.ravel().tolist()
        rows_ND = pool_emb_MD[list(dict.fromkeys(by_rank))[:num_rows]]
    return np.asarray(rows_ND[np.arange(num_rows) % len(rows_ND)], np.float32)
