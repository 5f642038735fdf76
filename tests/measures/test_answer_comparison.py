"""Measures between the answers of different queries, against values computed by hand and against all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.measures import answer_comparison, catalogue_share, identification, jaccard, mean_rows, swap
from r4t_ray.types import Array


def unit(*degrees: float) -> Array:
    radians = np.deg2rad(np.array(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


QUERIES = unit(0, 90, 180)


def test_swap_and_identification_of_answers_that_fit_their_queries() -> None:
    tops = unit(10, 80, 170).astype(np.float64)
    assert swap(tops, QUERIES).tolist() == [1.0, 1.0, 1.0]
    assert identification(tops, QUERIES).tolist() == [1.0, 1.0, 1.0]


def test_two_exchanged_answers_lose_to_each_other_alone() -> None:
    # The query at 0 has the answer at 80: it is nearer than the one at 170 and farther than the one at 10. The query at
    # 90 has the answer at 10: it is farther than the one at 80, and the one at 170 is equally far, which counts a half.
    tops = unit(80, 10, 170).astype(np.float64)
    assert swap(tops, QUERIES) == pytest.approx([0.5, 0.25, 1.0])
    assert identification(tops, QUERIES).tolist() == [0.0, 0.0, 1.0]


def test_equal_answers_share_every_tie_in_any_order_of_their_items() -> None:
    rng = np.random.default_rng(0)
    emb_MD = rng.normal(size=(9, 7)).astype(np.float32)
    rows = [rng.permutation([0, 3, 5, 8]) for _ in range(5)]
    tops, queries = mean_rows(rows, emb_MD), rng.normal(size=(5, 7)).astype(np.float32)
    assert swap(tops, queries).tolist() == [0.5] * 5
    assert identification(tops, queries).tolist() == [0.2] * 5


def test_an_answer_without_a_top_item_fits_worst() -> None:
    rows = [np.array([], dtype=np.int64), np.array([1]), np.array([], dtype=np.int64)]
    tops = mean_rows(rows, unit(0, 90, 180))
    assert tops[0].tolist() == [0.0, 0.0]
    # The first query's own answer is empty. It ties with the other empty one and loses to an answer at 90 degrees.
    assert swap(tops, unit(0, 90, 270)).tolist() == [0.25, 1.0, 0.25]
    assert identification(tops, unit(0, 90, 270)).tolist() == [0.0, 1.0, 0.0]


def test_jaccard_by_hand() -> None:
    # {1,2,3} and {2,3,4}: 2/4. Each with the empty answer: 0. The two empty answers: 1.
    found = jaccard([{1, 2, 3}, {2, 3, 4}, set(), set()])
    assert found == pytest.approx([0.5 / 3, 0.5 / 3, 1 / 3, 1 / 3])
    assert jaccard([{5, 7}] * 4).tolist() == [1.0] * 4
    assert jaccard([{1}, {2}]).tolist() == [0.0, 0.0]


def test_share_of_the_catalogue_counts_an_entry_once() -> None:
    assert catalogue_share([{0, 1}, {1, 2}, set()], pool_size=10) == 0.3
    assert catalogue_share([], pool_size=10) == 0.0


def test_one_answer_has_nothing_to_compare_with() -> None:
    one = unit(0).astype(np.float64)
    assert all(np.isnan(found).all() for found in (swap(one, unit(0)), identification(one, unit(0)), jaccard([{1}])))


def test_blocks_give_what_all_pairs_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_comparison, "BLOCK", 3)
    rng = np.random.default_rng(1)
    tops, queries = rng.normal(size=(8, 4)), rng.normal(size=(8, 4)).astype(np.float32)
    fit = tops @ queries.T.astype(np.float64)
    wins = [np.mean([fit[q, q] > fit[a, q] for a in range(8) if a != q]) for q in range(8)]
    assert swap(tops, queries) == pytest.approx(wins)
    assert identification(tops, queries).tolist() == [float(fit[:, q].argmax() == q) for q in range(8)]
    sets = [set(rng.choice(12, size=rng.integers(1, 6), replace=False).tolist()) for _ in range(8)]
    pairs = [np.mean([len(a & b) / len(a | b) for n, b in enumerate(sets) if n != m]) for m, a in enumerate(sets)]
    assert jaccard(sets) == pytest.approx(pairs)
