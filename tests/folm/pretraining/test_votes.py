"""Answers that recipes with similar titles vote for."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from r4t_ray.folm.pretraining import votes
from r4t_ray.folm.pretraining.votes import distinct_names, nearest_sets, rank_by_votes


def test_neighbours_vote_with_the_softmax_of_their_similarity() -> None:
    # Weights of cosines 1, 0.9 and 0.8 at temperature 0.1: e^0, e^-1, e^-2. egg: 1 + 0.14; salt: 1; rice: 0.37 + 0.14.
    voters = [["salt", "egg"], ["rice"], ["egg", "rice"]]
    assert rank_by_votes(voters, np.array([1.0, 0.9, 0.8], np.float32), 0.1) == ["egg", "salt", "rice"]
    # At a high temperature two distant voters outweigh one near voter.
    assert rank_by_votes(voters, np.array([1.0, 0.9, 0.8], np.float32), 10.0) == ["egg", "rice", "salt"]


def test_a_set_is_not_its_own_neighbour() -> None:
    sets = np.array([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    rows_BK, cos_BK = nearest_sets(sets, sets, 1, np.arange(3))
    assert rows_BK.tolist() == [[1], [0], [1]]
    assert np.abs(cos_BK[:, 0] - [0.9, 0.9, 0.4359]).max() < 1e-6
    some, _ = nearest_sets(sets[1:], sets, 9, np.array([1, 2]))
    assert sorted(map(sorted, some.tolist())) == [[0, 1], [0, 2]]


def test_a_query_without_its_own_set_may_have_every_neighbour() -> None:
    sets = np.array([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    nearest, _ = nearest_sets(sets[:1], sets, 1)
    assert nearest.tolist() == [[0]]
    every, _ = nearest_sets(sets[:1], sets, 9)
    assert sorted(every[0].tolist()) == [0, 1, 2]


def test_blocks_of_queries_find_the_neighbours_of_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    emb = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    rows_BK, cos_BK = nearest_sets(emb, emb, 4, np.arange(9))
    monkeypatch.setattr(votes, "BLOCK", 2)
    blocked_BK, blocked_cos_BK = nearest_sets(emb, emb, 4, np.arange(9))
    assert np.array_equal(np.sort(blocked_BK), np.sort(rows_BK))
    assert np.abs(np.sort(blocked_cos_BK) - np.sort(cos_BK)).max() < 1e-6


def test_many_queries_need_no_matrix_of_queries_and_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes, "BLOCK", 16)
    emb = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32)
    tracemalloc.start()
    nearest_sets(emb, emb, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * 1000 * 4 / 4


def test_a_list_is_filled_to_k_without_near_duplicates() -> None:
    emb = {
        "lemon": np.array([1.0, 0.0], np.float32),
        "lemons": np.array([0.99, 0.141], np.float32),
        "rice": np.array([0.0, 1.0], np.float32),
        "salt": np.array([-1.0, 0.0], np.float32),
    }
    ranked = ["lemon", "lemon", "lemons", "rice", "salt"]
    assert distinct_names(ranked, 2, emb) == ["lemon", "rice"]
    assert distinct_names(ranked, 9, emb) == ["lemon", "rice", "salt"]
