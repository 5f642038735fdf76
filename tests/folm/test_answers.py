"""Written answers from sets and their neighbours."""

from __future__ import annotations

import numpy as np

from r4t_ray.folm.answers import complete_list, rank_neighbour_items


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
