"""Latency of the fan-out alone: what one call of ``generate`` takes for a batch of queries.

An LM is timed from query texts to parsed sub-query texts, the diffusion from z_q to its L rows. The encoder (of the
query for the diffusion, of the sub-queries for the LM) and the search are on neither clock.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.answers import Generative, Query
from r4t_ray.types import Array


def time_generation(
    method: Generative, queries: Sequence[Query], query_emb_BD: Array, batch: int, repeats: int, seed: int
) -> NDArray[np.float64]:
    """Milliseconds of ``repeats`` calls with ``batch`` queries each, after one call that is not counted.

    Each repeat takes the next queries (from the start again when they run out) and its own seed.
    """
    elapsed = []
    for repeat in range(repeats + 1):
        picks = [(repeat * batch + position) % len(queries) for position in range(batch)]
        chosen, chosen_emb_BD = [queries[pick] for pick in picks], query_emb_BD[picks]
        start = time.perf_counter()
        method.generate(chosen, chosen_emb_BD, seed + repeat)
        elapsed.append((time.perf_counter() - start) * 1000.0)
    return np.array(elapsed[1:], dtype=np.float64)
