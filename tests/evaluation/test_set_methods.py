"""The methods that score items by the training sets, on toy pools with answers computed by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from r4t_ray.evaluation.bench import Fits
from r4t_ray.evaluation.methods import ease_items
from r4t_ray.evaluation.methods.ease_items import EASE_ITEMS, fit_ease
from r4t_ray.evaluation.methods.nearest_sets_items import NEAREST_SETS_ITEMS
from r4t_ray.evaluation.methods.ridge_items import RIDGE_ITEMS, fit_ridge
from r4t_ray.evaluation.methods.soft_sets import SOFT_SETS, greedy_cover, members_of, votes
from r4t_ray.evaluation.methods.soft_sets_items import SOFT_SETS_ITEMS

REFERENCES = [np.array([0, 1]), np.array([1, 2]), np.array([4])]


def membership(references, pool_size):
    x_SM = np.zeros((len(references), pool_size))
    for row, reference in enumerate(references):
        x_SM[row, reference] = 1.0
    return x_SM


def random_sets(num_sets=30, pool_size=12):
    rng = np.random.default_rng(0)
    return [rng.choice(pool_size - 2, size=rng.integers(1, 6), replace=False) for _ in range(num_sets)]


def test_votes_are_a_softmax_over_all_training_sets(bench, at):
    parts = bench(train_emb_BD=at(0, 60, 180), train_references=[np.array([0, 1, 1]), *REFERENCES[1:]])
    weights = np.exp(np.array([1.0, 0.5, -1.0]) / 0.5)
    weights /= weights.sum()
    expected = [weights[0], weights[0] + weights[1], weights[1], 0, weights[2], 0]
    assert votes(parts, at(0)[0], 0.5) == pytest.approx(expected, abs=1e-6)
    assert votes(parts, at(0)[0], 1e-3) == pytest.approx([1, 1, 0, 0, 0, 0])  # a cold softmax reads the nearest set


def test_soft_sets_by_hand(bench, toy_query, at):
    fits = Fits(tuned={"soft_sets": 0.5, "soft_sets_items": 0.5})
    parts = bench(train_emb_BD=at(0, 60, 180), train_references=REFERENCES, fits=fits)
    (ranked,) = SOFT_SETS_ITEMS.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert ranked.hits_kn.tolist() == [[1, 2], [0, 4]]  # items 3 and 5 are in no set
    assert np.array_equal(ranked.directions_kD, at(10, 0))
    # Item 0 finds 0 and 1, which have the most votes. Then item 2 adds itself; it finds 1 too, which is covered.
    (covered,) = SOFT_SETS.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert covered.hits_kn[:, 0].tolist() == [0, 2]


@pytest.mark.parametrize("method", [NEAREST_SETS_ITEMS, SOFT_SETS_ITEMS, RIDGE_ITEMS, EASE_ITEMS])
def test_many_sets_of_many_items_need_no_matrix_of_sets_and_items(bench, flat, toy_query, method, monkeypatch):
    monkeypatch.setattr(ease_items, "MAX_ITEMS", 50)
    rng = np.random.default_rng(0)
    pool = flat(rng.standard_normal((20_000, 4)).astype(np.float32))
    references = [rng.choice(20_000, 4) for _ in range(2000)]
    emb_BD = rng.standard_normal((2000, 4)).astype(np.float32)
    tuned = {"soft_sets_items": 0.5, "ridge_items": 1.0, "ease_items": 1.0}
    parts = bench(index=pool, train_emb_BD=emb_BD, train_references=references, fits=Fits(tuned=tuned))
    tracemalloc.start()
    method.answer(parts, [toy_query("q", "")] * 8, emb_BD[:8], seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 20_000 * 4 / 20


def test_greedy_cover_agrees_with_a_direct_implementation():
    rng = np.random.default_rng(1)
    for _ in range(20):
        neighbours = np.stack([rng.choice(30, size=4, replace=False) for _ in range(30)])
        weights = rng.integers(0, 9, size=30).astype(np.float64)
        picks, covered = [], set()
        for _ in range(5):
            gains = [sum(weights[row] for row in set(rows) - covered) for rows in neighbours.tolist()]
            picks.append(int(np.argmax(gains)))
            covered |= set(neighbours[picks[-1]].tolist())
        assert greedy_cover(weights, neighbours, 5).tolist() == picks


def test_greedy_cover_stops_when_no_item_adds_a_vote():
    neighbours = np.array([[0, 1], [1, 0], [2, -1]])
    assert greedy_cover(np.array([1.0, 2.0, 0.0]), neighbours, 3).tolist() == [0]
    assert greedy_cover(np.array([1.0, 2.0, 4.0]), neighbours, 3).tolist() == [2, 0]
    assert greedy_cover(np.zeros(3), neighbours, 3).tolist() == []


@pytest.mark.parametrize("penalty", [0.1, 5.0])
def test_ridge_is_the_closed_form_of_the_dense_matrices(penalty):
    references = random_sets()
    z_SD = np.random.default_rng(2).normal(size=(30, 5)).astype(np.float32)
    queries = np.random.default_rng(3).normal(size=(2, 5)).astype(np.float32)
    dense = np.linalg.solve(z_SD.T @ z_SD + penalty * np.eye(5), z_SD.T @ membership(references, 12))
    scores = list(fit_ridge(z_SD, members_of(references, 12)).scores(queries, penalty))
    assert np.array(scores) == pytest.approx(queries @ dense, abs=1e-5)


def test_ridge_items_leave_out_items_of_no_training_set(bench, toy_query, at):
    # The prediction for item 2 is negative. Items 3 and 5 have 0, but no training set contains them.
    parts = bench(train_emb_BD=at(0, 180), train_references=[np.array([4, 0]), np.array([2])])
    (answer,) = RIDGE_ITEMS.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert answer.hits_kn.tolist() == [[0, 2], [4, -1]]


@pytest.mark.parametrize("max_items", [20, 6])
def test_ease_is_the_closed_form_of_the_dense_matrices(max_items):
    references, strength = random_sets(), 2.0
    members = members_of(references, 12)
    ease = fit_ease(members, len(references), max_items)
    top = ease.rows_N
    assert len(top) == min(max_items, np.count_nonzero(members.counts_M))
    assert members.counts_M[top].min() >= np.delete(members.counts_M, top).max()
    x_SN = membership(references, 12)[:, top]
    inverse = np.linalg.inv(x_SN.T @ x_SN + strength * members.counts_M[top].mean() * np.eye(len(top)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    row_M = np.random.default_rng(4).random(12)
    expected = row_M.copy()
    expected[top] += row_M[top] @ weights
    assert ease.spread([row_M, 0 * row_M], strength)[0] == pytest.approx(expected)


def test_ease_items_rank_an_item_higher_that_occurs_with_the_voted_ones(bench, toy_query, at):
    # The set of the query at 0 degrees votes for items 0 and 1. Elsewhere they occur with item 4, never with item 3.
    references = [np.array([0, 1]), *[np.array([0, 1, 4])] * 3, *[np.array([3, 5])] * 3]
    fits = Fits(tuned={"soft_sets_items": 0.1, "ease_items": 1.0})
    parts = bench(train_emb_BD=at(0, *[150.0] * 6), train_references=references, fits=fits)
    (answer,) = EASE_ITEMS.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert answer.hits_kn.tolist() == [[0, 4], [1, 3]]
    (plain,) = SOFT_SETS_ITEMS.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert plain.hits_kn.tolist() == [[0, 3], [1, 4]]


@pytest.mark.parametrize("method", [SOFT_SETS, SOFT_SETS_ITEMS, RIDGE_ITEMS, EASE_ITEMS])
def test_without_training_queries_the_answer_is_empty(bench, toy_query, at, method):
    parts = bench(train_emb_BD=at(0)[:0], train_references=[])
    (answer,) = method.answer(parts, [toy_query("q", "")], at(0), seed=0)
    assert answer.retrieved == set()
