"""Written answers from sets and their neighbours."""

from __future__ import annotations

import numpy as np

from r4t_ray.folm.answers import complete_list, expected_items, greedy_cover, rank_neighbour_items


def test_neighbours_vote_with_their_similarity() -> None:
    sets = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    items = [["salt"], ["egg", "salt"], ["egg", "rice"], ["nut"]]
    query = np.array([[1, 0]], np.float32)
    # salt: 1 + 0.8, egg: 0.8 + 0, rice: 0 (third neighbour); nut's set is not among the nearest three.
    assert rank_neighbour_items(query, items, sets, 3, exclude_self=False) == [["salt", "egg", "rice"]]


def test_a_set_does_not_vote_for_itself() -> None:
    sets = np.array([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    ranked = rank_neighbour_items(sets, [["a"], ["b"], ["c"]], sets, 1, exclude_self=True)
    assert ranked == [["b"], ["a"], ["b"]]


def test_a_list_is_filled_to_k_without_near_duplicates() -> None:
    emb = {
        "lemon": np.array([1.0, 0.0], np.float32),
        "lemons": np.array([0.99, 0.141], np.float32),
        "rice": np.array([0.0, 1.0], np.float32),
    }
    assert complete_list(["lemon", "lemon"], ["lemons", "rice", "unknown", "more"], 3, emb) == [
        "lemon",
        "rice",
        "unknown",
    ]


def test_expected_items_are_the_weighted_members_of_other_voters_sets() -> None:
    query = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    member = np.eye(4, dtype=np.float32)
    voters = np.array([True, True, True, False])
    score = expected_items(query, member, temperature=1.0, voters_B=voters)
    # For query 0, set 1 has cosine 1 and set 2 cosine 0; itself and the silent set 3 do not vote.
    weight = np.e / (np.e + 1)
    assert np.abs(score[0] - [0, weight, 1 - weight, 0]).max() < 1e-6
    # Query 3 hears all three: cosines 1, 1, 0.
    assert np.abs(score[3] - np.array([np.e, np.e, 1, 0]) / (2 * np.e + 1)).max() < 1e-6


def test_greedy_cover_counts_what_is_covered_once() -> None:
    hits = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    # Item 1's hits are worth 5 + 4; then item 3's 1 + 3 against item 2's 1 left and item 0's 3.
    assert greedy_cover(np.array([3, 5, 4, 1], np.float32), hits, 2) == [1, 3]
