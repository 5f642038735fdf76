"""Targets of the diffusion retriever, by hand."""

from __future__ import annotations

import numpy as np

from r4t_ray.pairs.targets import target_rows
from r4t_ray.rewards import Retrieved

POOL = np.eye(4, dtype=np.float32)


def retrieved(rows: list[list[int]]) -> Retrieved:
    """One fan-out with the given hits and three directions, of which the last is missing."""
    nan = np.nan
    return Retrieved(
        query_emb_BD=POOL[:1],
        sub_emb_BkD=np.stack([POOL[2], POOL[1], np.zeros(4, np.float32)])[None],
        nearest_cos_Bk=np.array([[0.9, 0.8, nan]], np.float32),
        nearest_emb_BkD=np.zeros((1, 3, 4), np.float32),
        hit_rows_BkK=np.array([[*rows, [-1, -1]]]),
    )


def test_oar_rows_are_the_nearest_items_of_all_directions_then_the_second_nearest() -> None:
    target = target_rows("oar", retrieved([[0, 3], [1, 0]]), 0, POOL, num_rows=3)
    assert target.argmax(axis=1).tolist() == [0, 1, 3]
    alone = target_rows("oar", retrieved([[0, 3], [1, 0]]), 0, POOL, num_rows=3, nearest_alone=True)
    assert alone.argmax(axis=1).tolist() == [0, 1, 0]


def test_wscr_rows_are_the_sub_queries_repeated_to_fill() -> None:
    target = target_rows("wscr", retrieved([[0, 3], [1, 0]]), 0, POOL, num_rows=5)
    assert target.argmax(axis=1).tolist() == [2, 1, 2, 1, 2]
