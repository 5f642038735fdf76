"""The items that similar sets hold."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.rewards.coverage import expected_items, membership


def test_membership_has_one_row_per_set_and_one_column_per_item() -> None:
    assert membership([["b"], ["a", "c"]], ["a", "b", "c"]).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    with pytest.raises(KeyError, match="absent"):
        membership([["absent"]], ["a"])


def test_expected_items_are_the_softmax_weighted_members_of_the_voting_sets() -> None:
    query = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    member = np.eye(4, dtype=np.float32)
    votes = np.array([True, True, True, False]) & ~np.eye(4, dtype=np.bool_)
    score = expected_items(query, query, member, temperature=1.0, votes_BV=votes)
    # For query 0, set 1 has cosine 1 and set 2 has cosine 0. Its own set 0 and set 3 do not vote.
    weight = np.e / (np.e + 1)
    assert np.abs(score[0] - [0, weight, 1 - weight, 0]).max() < 1e-6
    # All three voters vote on query 3: cosines 1, 1, 0.
    assert np.abs(score[3] - np.array([np.e, np.e, 1, 0]) / (2 * np.e + 1)).max() < 1e-6
