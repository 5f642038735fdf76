"""Batches of answers for the tests of rewards."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from r4t_ray.rewards import Answers, PoolEntry, Retrieved

WISH = "a wish"


def answers_of(retrieved: Retrieved, **changes: Any) -> Answers:
    """One query, answered B times, without sub-queries, references or a pool unless ``changes`` name them."""
    num = len(retrieved.query_emb_BD)
    given: dict[str, Any] = {
        "query_ids": ["q"] * num,
        "queries": [WISH] * num,
        "sub_queries": [None] * num,
        "references": [frozenset[int]()] * num,
        "pool": (),
    }
    return Answers(retrieved=retrieved, **given | changes)


def answers_of_rows(
    top_rows: Sequence[Sequence[int]], sub_queries: Sequence[tuple[str, ...] | None], pool: Sequence[PoolEntry]
) -> Answers:
    """Answers with the given nearest pool row of each direction; -1 marks a missing direction. Embeddings are zero."""
    num, k = len(top_rows), len(top_rows[0])
    retrieved = Retrieved(
        query_emb_BD=np.zeros((num, 2), np.float32),
        sub_emb_BkD=np.zeros((num, k, 2), np.float32),
        nearest_cos_Bk=np.zeros((num, k), np.float32),
        nearest_emb_BkD=np.zeros((num, k, 2), np.float32),
        hit_rows_BkK=np.array(top_rows)[:, :, None],
    )
    return answers_of(retrieved, sub_queries=sub_queries, pool=pool)


def random_answers(seed: int, num_groups: int = 3, of_group: int = 4) -> Answers:
    """Groups of answers with three directions each and a pool of 20 rows. About a tenth of directions is missing."""
    rng = np.random.default_rng(seed)
    num, k, dim = num_groups * of_group, 3, 5
    pool_emb_MD, sub_emb_BkD, query_emb_QD = (
        (emb := rng.normal(size=size)) / np.linalg.norm(emb, axis=-1, keepdims=True)
        for size in ((20, dim), (num, k, dim), (num_groups, dim))
    )
    is_missing_Bk = rng.random((num, k)) < 0.1
    cos_BkM = sub_emb_BkD @ pool_emb_MD.T
    rows_BkM = np.argsort(-cos_BkM, axis=-1)
    retrieved = Retrieved(
        query_emb_BD=np.repeat(query_emb_QD, of_group, axis=0).astype(np.float32),
        sub_emb_BkD=np.where(is_missing_Bk[..., None], 0, sub_emb_BkD).astype(np.float32),
        nearest_cos_Bk=np.where(is_missing_Bk, np.nan, cos_BkM.max(axis=-1)).astype(np.float32),
        nearest_emb_BkD=np.where(is_missing_Bk[..., None], 0, pool_emb_MD[rows_BkM[..., 0]]).astype(np.float32),
        hit_rows_BkK=np.where(is_missing_Bk[..., None], -1, rows_BkM[..., :2]),
    )
    references: list[Set[int]] = [set(rng.integers(0, 20, 3).tolist()) for _ in range(num_groups - 1)]
    names = [("red", "blue", "green"), None, ("red",), ("x", "X", "y")]
    return Answers(
        query_ids=[f"q{b // of_group}" for b in range(num)],
        queries=[f"wish {b // of_group}" for b in range(num)],
        sub_queries=[names[b % 4] for b in range(num)],
        retrieved=retrieved,
        references=[[*references, frozenset()][b // of_group] for b in range(num)],
        pool=[PoolEntry(text=f"item {row}", attributes={"category": "abc"[row % 3]}) for row in range(20)],
    )


def picked(answers: Answers, places: Sequence[int]) -> Answers:
    """Some of the answers, in the order given."""
    rows = list(places)
    retrieved = Retrieved(**{name: values[rows] for name, values in vars(answers.retrieved).items()})
    per_answer = ("query_ids", "queries", "sub_queries", "references")
    return Answers(
        retrieved=retrieved,
        pool=answers.pool,
        **{name: [getattr(answers, name)[b] for b in rows] for name in per_answer},
    )
