"""Which anchor of a retriever is which entry of the pool."""

from __future__ import annotations

import numpy as np

from r4t_ray.diffusion.memory import NO_ENTRY
from r4t_ray.types import Array, Rows


def anchors_of_entries(pool_MD: Array, anchors_ND: Array) -> Rows:
    """The number of the anchor that is an entry's embedding, for each row of the pool, (M,); NO_ENTRY if there is none.

    >>> pool_MD = np.float32([[1, 0], [0, 1], [1, 0], [-1, 0]])
    >>> anchors_of_entries(pool_MD, pool_MD[[1, 0]]).tolist()
    [1, 0, 1, -1]
    """
    number_of = {row.tobytes(): number for number, row in enumerate(anchors_ND)}
    return np.array([number_of.get(row.tobytes(), NO_ENTRY) for row in pool_MD], np.int64)
