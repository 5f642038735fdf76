"""Groundedness, eq. 3 of arXiv 2603.06397: how near each direction is to something in the catalogue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array


def unit_distance(cos: Array) -> NDArray[np.float64]:
    """Euclidean distance sqrt(2 - 2 cos) of unit vectors by their cosines, of any shape; NaN stays NaN.

    >>> import numpy as np
    >>> unit_distance(np.array([1.0, 0.5, -1.0], dtype=np.float32)).tolist()
    [0.0, 1.0, 2.0]
    """
    return np.sqrt(np.clip(2.0 - 2.0 * cos.astype(np.float64), 0.0, None))


def groundedness(nearest_cos_BK: Array) -> Array:
    """1 - mean over k of the Euclidean distance to the nearest item; NaN marks a missing direction.

    For unit vectors the distance is sqrt(2 - 2 cos), so the value is 1 on an item and -1 opposite to all.

    Args:
        nearest_cos_BK: Cosine of each direction with its nearest item.

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
