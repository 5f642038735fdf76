"""From the sub-queries of fan-outs to their directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from r4t_ray.evaluation.bench import FanOut
from r4t_ray.types import Array

EncodeTexts = Callable[[Sequence[str]], Array]


def directions_of(fan_outs: Sequence[FanOut | None], encode: EncodeTexts, k: int, dim: int) -> list[Array]:
    """Embed the first k sub-queries of every fan-out in one call of the encoder.

    Returns:
        One (k', dim) array a fan-out, k' <= k; (0, dim) for one that could not be parsed or names nothing.
    """
    kept = [tuple(fan_out or ())[:k] for fan_out in fan_outs]
    texts = [text for fan_out in kept for text in fan_out]
    emb_BD = encode(texts) if texts else np.zeros((0, dim), dtype=np.float32)
    ends = np.cumsum([len(fan_out) for fan_out in kept])
    return np.split(emb_BD, ends[:-1]) if kept else []
