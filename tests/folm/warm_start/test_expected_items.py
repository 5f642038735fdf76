"""Written answers from sets and their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.folm.warm_start.expected_items import (
    distinct_names,
    expected_items,
    greedy_cover,
    membership,
    nearest_sets,
    rank_by_votes,
)


def test_neighbours_vote_with_the_softmax_of_their_similarity() -> None:
    # Weights of cosines 1, 0.9 and 0.8 at temperature 0.1: e^0, e^-1, e^-2. egg: 1 + 0.14; salt: 1; rice: 0.37 + 0.14.
    voters = [["salt", "egg"], ["rice"], ["egg", "rice"]]
    assert rank_by_votes(voters, np.array([1.0, 0.9, 0.8], np.float32), 0.1) == ["egg", "salt", "rice"]
    # Two weak voters outweigh a strong one once the temperature is high.
    assert rank_by_votes(voters, np.array([1.0, 0.9, 0.8], np.float32), 10.0) == ["egg", "rice", "salt"]


def test_a_set_is_no_neighbour_of_its_own() -> None:
    sets = np.array([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    rows_BK, cos_BK = nearest_sets(sets, sets, 1, np.arange(3))
    assert rows_BK.tolist() == [[1], [0], [1]]
    assert np.abs(cos_BK[:, 0] - [0.9, 0.9, 0.4359]).max() < 1e-6
    some, _ = nearest_sets(sets[1:], sets, 9, np.array([1, 2]))
    assert sorted(map(sorted, some.tolist())) == [[0, 1], [0, 2]]


def test_a_query_without_a_set_is_near_to_all() -> None:
    sets = np.array([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    nearest, _ = nearest_sets(sets[:1], sets, 1)
    assert nearest.tolist() == [[0]]
    every, _ = nearest_sets(sets[:1], sets, 9)
    assert sorted(every[0].tolist()) == [0, 1, 2]


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


def test_membership_has_a_row_a_set_and_a_column_an_item() -> None:
    assert membership([["b"], ["a", "c"]], ["a", "b", "c"]).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    with pytest.raises(KeyError, match="absent"):
        membership([["absent"]], ["a"])


def test_expected_items_are_the_weighted_members_of_other_voters_sets() -> None:
    query = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    member = np.eye(4, dtype=np.float32)
    votes = np.array([True, True, True, False]) & ~np.eye(4, dtype=np.bool_)
    score = expected_items(query, query, member, temperature=1.0, votes_BV=votes)
    # For query 0, set 1 has cosine 1 and set 2 cosine 0; itself and the silent set 3 do not vote.
    weight = np.e / (np.e + 1)
    assert np.abs(score[0] - [0, weight, 1 - weight, 0]).max() < 1e-6
    # Query 3 hears all three: cosines 1, 1, 0.
    assert np.abs(score[3] - np.array([np.e, np.e, 1, 0]) / (2 * np.e + 1)).max() < 1e-6


def test_greedy_cover_counts_what_is_covered_once() -> None:
    hits = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    # Item 1's hits are worth 5 + 4; then item 3's 1 + 3 against item 2's 1 left and item 0's 3.
    assert greedy_cover(np.array([3, 5, 4, 1], np.float32), hits, 2) == [1, 3]
