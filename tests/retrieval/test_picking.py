"""The merged items of an answer: what counts as a tie, and who wins it."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.retrieval.picking import pick_by_cosine
from r4t_ray.types import Hits


def hits(*scores: float) -> Hits:
    """A direction for each score, which finds a row of its own; the first direction has the last row."""
    rows_k1 = np.arange(len(scores))[::-1, None].astype(np.int64)
    return np.array(scores, np.float32)[:, None], rows_k1


@pytest.mark.parametrize("total", [None, 3])
def test_directions_that_are_entries_come_in_their_order(total: int | None) -> None:
    above, below = np.nextafter(np.float32(1), np.float32(2)), np.nextafter(np.float32(1), np.float32(0))
    picked = pick_by_cosine(hits(below, 1.0, above), total)
    assert picked.rows_K.tolist() == [2, 1, 0]
    assert picked.owner_K.tolist() == [0, 1, 2]
    assert picked.scores_K.tolist() == [1.0, 1.0, 1.0]
    assert [scores.tolist() for _, scores in picked.lists] == [[1.0]] * 3


def test_a_higher_score_comes_before_an_earlier_direction() -> None:
    picked = pick_by_cosine(hits(0.5, 0.9, 0.9), 2)
    assert (picked.rows_K.tolist(), picked.owner_K.tolist()) == ([1, 0], [1, 2])


def test_a_cosine_below_one_is_as_it_was_found() -> None:
    scores_k1, rows_k1 = hits(0.99999, 0.1234567)
    assert pick_by_cosine((scores_k1, rows_k1)).scores_K.tolist() == scores_k1[:, 0].tolist()
