"""The items that similar sets hold."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from r4t_ray.rewards.coverage import expected_items, membership


def test_membership_has_one_row_per_set_and_one_column_per_item() -> None:
    assert membership([["b", "b"], ["a"]], ["a", "b"]).toarray().tolist() == [[0.0, 1.0], [1.0, 0.0]]
    with pytest.raises(KeyError, match="absent"):
        membership([["absent"]], ["a"])


def test_expected_items_are_the_softmax_weighted_members_of_the_voting_sets() -> None:
    query = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    member = membership([["0"], ["1"], ["2"], ["3"]], ["0", "1", "2", "3"])
    votes = np.array([True, True, True, False]) & ~np.eye(4, dtype=np.bool_)
    score = expected_items(query, query, member, temperature=1.0, votes_BV=votes)
    # For query 0, set 1 has cosine 1 and set 2 has cosine 0. Its own set 0 and set 3 do not vote.
    weight = np.e / (np.e + 1)
    assert np.abs(score[0] - [0, weight, 1 - weight, 0]).max() < 1e-6
    # All three voters vote on query 3: cosines 1, 1, 0.
    assert np.abs(score[3] - np.array([np.e, np.e, 1, 0]) / (2 * np.e + 1)).max() < 1e-6


def test_many_sets_of_many_items_need_no_matrix_of_sets_and_items() -> None:
    rng = np.random.default_rng(0)
    sets = [[str(item) for item in rng.choice(30_000, 4)] for _ in range(3000)]
    pool = [str(item) for item in range(30_000)]
    emb_VD = rng.standard_normal((3000, 4)).astype(np.float32)
    votes_BV = rng.random((5, 3000)) < 0.5
    tracemalloc.start()
    member = membership(sets, pool)
    score = expected_items(emb_VD[:5], emb_VD, member, 0.05, votes_BV)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000 < member.shape[0] * member.shape[1] * 4 / 10
    weights = np.where(votes_BV, np.exp(emb_VD[:5].astype(np.float64) @ emb_VD.T / 0.05), 0)
    direct = np.zeros((5, 30_000))
    for row, items in enumerate(sets):
        direct[:, np.unique([int(item) for item in items])] += weights[:, row, None] / weights.sum(axis=1)[:, None]
    assert np.abs(score - direct).max() < 1e-4
