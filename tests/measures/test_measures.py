"""Measures against values computed by hand, and the properties that hold for any set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.measures import alignment, groundedness, hit, recall, vendi_score, vendi_scores


def unit(rows: list[list[float]]) -> np.ndarray:
    emb = np.array(rows, np.float32)
    return emb / np.linalg.norm(emb, axis=-1, keepdims=True)


def test_vendi_of_two_vectors_is_the_closed_form() -> None:
    # K/n has eigenvalues (1 + c)/2 and (1 - c)/2 for cosine c; c = 0.5 gives 0.75 and 0.25.
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    emb = unit([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    assert abs(vendi_score(emb) - expected) < 1e-5
    assert abs(expected - 1.7548) < 1e-4


def test_vendi_runs_from_one_to_the_number_of_vectors() -> None:
    assert abs(vendi_score(unit([[1, 0, 0]] * 4)) - 1.0) < 1e-5
    assert abs(vendi_score(np.eye(5, dtype=np.float32)) - 5.0) < 1e-5


def test_a_missing_row_adds_no_diversity() -> None:
    emb = np.concatenate([np.eye(3, dtype=np.float32), np.zeros((2, 3), np.float32)])
    assert abs(vendi_score(emb) - 3.0) < 1e-5
    assert vendi_score(np.zeros((2, 3), np.float32)) == 0.0


@given(seed=st.integers(0, 10_000), count=st.integers(1, 8))
def test_vendi_stays_in_range_and_ignores_order(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    emb = unit(rng.normal(size=(count, 6)).tolist())
    score = vendi_score(emb)
    assert 1.0 - 1e-4 <= score <= count + 1e-4
    assert abs(score - vendi_score(emb[rng.permutation(count)])) < 1e-4


def test_vendi_of_a_batch_equals_vendi_of_each_set() -> None:
    rng = np.random.default_rng(0)
    emb_BKD = np.stack([unit(rng.normal(size=(4, 5)).tolist()) for _ in range(3)])
    assert np.abs(vendi_scores(emb_BKD) - [vendi_score(emb_KD) for emb_KD in emb_BKD]).max() < 1e-6


def test_groundedness_by_hand() -> None:
    # Distances sqrt(2 - 2 cos): cos 1 -> 0, cos 0.5 -> 1, cos -1 -> 2. Their mean is 1.
    assert abs(groundedness(np.array([[1.0, 0.5, -1.0]], np.float32))[0]) < 1e-6
    assert abs(groundedness(np.array([[1.0, np.nan]], np.float32))[0] - 1.0) < 1e-6
    assert groundedness(np.array([[np.nan]], np.float32))[0] == 0.0


def test_alignment_by_hand() -> None:
    query = np.array([[1.0, 0.0]], np.float32)
    sub = np.array([[[1.0, 0.0], [0.6, 0.8], [0.0, 0.0]]], np.float32)
    assert abs(alignment(sub, query)[0] - 0.8) < 1e-6
    assert alignment(np.zeros((1, 2, 2), np.float32), query)[0] == 0.0


def test_coverage_by_hand() -> None:
    assert recall({1, 2, 3}, {2, 3, 4, 5}) == 0.5
    assert hit({1}, {1, 9}) == 1.0
    assert hit({2}, {1, 9}) == 0.0
    with pytest.raises(ValueError, match="empty reference"):
        recall({1}, set())
