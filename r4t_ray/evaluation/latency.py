"""Latency of the fan-out: one call of a method's ``generate`` for a batch of queries.

A language model is timed from query texts to parsed sub-queries. The diffusion is timed from the query embedding z_q to
its L rows. Embedding and search are not timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def time_generation(
    generate: Callable[[Sequence[Query], Array, int], object],
    queries: Sequence[Query],
    query_emb_BD: Array,
    *,
    batch: int,
    repeats: int,
    seed: int,
) -> NDArray[np.float64]:
    """Time ``repeats`` calls with ``batch`` queries each, after one warm-up call that is not timed.

    Each call takes the next queries and the next seed. After the last query the first one follows.

    Args:
        generate: (queries, query_emb_BD, seed) -> output. The output is discarded.
        queries: The held-out queries.
        query_emb_BD: Their unit embeddings.
        batch: Queries per call.
        repeats: Timed calls.
        seed: Seed of the first call.

    Returns:
        Milliseconds of each timed call, shape (repeats,).
    """
    elapsed = []
    for repeat in range(repeats + 1):
        picks = [(repeat * batch + position) % len(queries) for position in range(batch)]
        chosen, chosen_emb_BD = [queries[pick] for pick in picks], query_emb_BD[picks]
        start = time.perf_counter()
        generate(chosen, chosen_emb_BD, seed + repeat)
        elapsed.append((time.perf_counter() - start) * 1000.0)
    return np.array(elapsed[1:], dtype=np.float64)
