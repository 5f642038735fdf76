"""Answers to OAR (open-ended abstract retrieval): titles near the theme."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from r4t_ray.catalogue import Query
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.types import Array


def oar_answers(
    config: WarmStartConfig,
    themes: list[Query],
    theme_emb_BD: Array,
    sets: list[Query],
    set_emb_MD: Array,
    *,
    k: int,
    seed: int,
) -> Iterator[tuple[str, list[str]]]:
    """Yield each theme with k titles, drawn from the 2k training sets nearest to it."""
    rng = random.Random(seed)
    nearest_BK = np.argsort(-(theme_emb_BD @ set_emb_MD.T), axis=1)[:, : 2 * k]
    for _ in range(config.num_passes.oar):
        for query, nearest_K in zip(themes, nearest_BK, strict=True):
            titles = dict.fromkeys(sets[row].text.lower() for row in rng.sample(nearest_K.tolist(), len(nearest_K)))
            yield query.text, list(titles)[:k]
