"""The item decoder on a pool of orthogonal items, with hand-computed numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from r4t_ray.decoder import Decoder, DecoderConfig, item_scores, new_item_vectors
from r4t_ray.decoder.choice import choose, loss_at_best_bias
from r4t_ray.decoder.examples import examples_of
from r4t_ray.decoder.stage import num_val_queries
from r4t_ray.decoder.start import FIRST_SHARED, first_bias, first_own
from r4t_ray.decoder.training import Weights, set_loss, train_weights
from r4t_ray.index import IndexConfig, load_shards, search_shards, write_index
from r4t_ray.retrieval.picking import best_rows
from r4t_ray.types import Search

EYE = np.eye(4, dtype=np.float32)


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def unit_rows(count: int, dim: int, seed: int) -> np.ndarray:
    emb_MD = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return emb_MD / np.linalg.norm(emb_MD, axis=1, keepdims=True)


def random_decoder(num_items: int, dim: int) -> Decoder:
    rng = np.random.default_rng(3)
    seen_M = np.arange(num_items) % 3 > 0
    return Decoder(
        shared_DD=rng.standard_normal((dim, dim)).astype(np.float32),
        own_MD=rng.standard_normal((num_items, dim)).astype(np.float32) * seen_M[:, None],
        bias_M=rng.standard_normal(num_items).astype(np.float32) * seen_M,
        beta=1.5,
    )


def test_a_score_is_the_sum_of_its_terms():
    decoder = Decoder(shared_DD=2 * EYE, own_MD=3 * EYE, bias_M=np.float32([0, 0.25, 0, 0]), beta=0.5)
    # Item 0 is the query itself: 2 + 3. Item 1 is the second direction: 0.5, and its bias. Item 2 is nothing.
    assert item_scores(decoder, EYE, EYE[0], np.float32([[0, 0, 0, 1], [0, 1, 0, 0]])).tolist() == [5, 0.75, 0, 0.5]


def test_the_largest_inner_product_of_the_vectors_is_the_score():
    emb_MD, z_kD, z_q_D = unit_rows(50, 8, 0), unit_rows(5, 8, 1), unit_rows(1, 8, 2)[0]
    decoder = random_decoder(50, 8)
    products_kM = decoder.query_vectors(z_q_D, z_kD) @ decoder.item_vectors(emb_MD).T
    np.testing.assert_allclose(products_kM.max(axis=0), item_scores(decoder, emb_MD, z_q_D, z_kD), atol=1e-5)
    # An item of no training set has the vector of a new entry.
    np.testing.assert_array_equal(decoder.item_vectors(emb_MD)[::3], new_item_vectors(emb_MD[::3]))


def test_the_index_finds_the_largest_scores_exhaustively_and_nearly_all_of_them_with_a_graph(tmp_path: Path):
    emb_MD, z_kD, z_q_D = unit_rows(600, 8, 0), unit_rows(5, 8, 1), unit_rows(1, 8, 2)[0]
    decoder = random_decoder(600, 8)
    scores_M = item_scores(decoder, emb_MD, z_q_D, z_kD)
    wanted = Search(z_LD=decoder.query_vectors(z_q_D, z_kD), num_hits=20)
    best = np.argsort(-scores_M)[:20].tolist()
    for kind, least in (("flat", 20), ("hnsw", 18)):
        config = IndexConfig.model_validate({"type": kind, "num_shards": 2})
        write_index(config, decoder.item_vectors(emb_MD), tmp_path / kind)
        found, found_scores, _ = best_rows(search_shards(load_shards(tmp_path / kind), wanted))
        assert len(set(found[:20].tolist()) & set(best)) >= least
        np.testing.assert_allclose(found_scores[:20], scores_M[found[:20]], atol=1e-4)


def test_the_start_has_the_popularity_and_the_ridge_of_each_seen_item():
    train = examples_of(EYE[:2], [rows(0, 1), rows(0)], 4)
    assert train.share_N.tolist() == [0.5, 0.5, 1.0]
    bias_M = first_bias(train)
    # The shares are (1.5 + 1/8) / 2.5 and (0.5 + 1/8) / 2.5. The biases are their logarithms around the mean.
    assert bias_M.tolist() == pytest.approx([np.log(1.625 / 0.625) / 2, -np.log(1.625 / 0.625) / 2, 0, 0])
    own_MD = first_own(train, penalty=0.125)  # 2 lambda is 1
    share = 1.625 / 2.5
    assert own_MD[0].tolist() == pytest.approx([(0.5 - share) / (share + 1), (1 - share) / (share + 1), 0, 0], abs=1e-6)
    assert not own_MD[2:].any()
    weights = Weights(train, own_penalty=0.0625)
    assert weights.own_MD.detach().numpy().tolist() == own_MD.tolist()
    assert (weights.shared_DD.detach().numpy() == FIRST_SHARED * EYE).all()


def test_an_item_without_a_training_set_is_scored_by_its_embedding_alone():
    train = examples_of(EYE[:2], [rows(0, 1), rows(0)], 4)
    weights = Weights(train, own_penalty=0.1)
    scores_BM = weights(torch.tensor(EYE[2:3]), torch.tensor(EYE), torch.zeros(4))
    assert scores_BM.tolist() == [[0, 0, FIRST_SHARED, 0]]


def test_the_loss_is_the_mean_over_the_set_of_minus_ln_softmax():
    examples = examples_of(EYE[:2], [rows(0, 1), rows(2)], 4)
    scores_BM = torch.log(torch.tensor([[4.0, 2, 1, 1], [1, 1, 2, 4]]))
    by_hand = (-(np.log(4 / 8) + np.log(2 / 8)) / 2 - np.log(2 / 8)) / 2
    assert set_loss(scores_BM, examples).item() == pytest.approx(by_hand)
    # The best constant for seen items is not above the loss at 0, which is one of those tried.
    assert loss_at_best_bias(scores_BM.numpy(), examples, examples.seen_M) <= by_hand + 1e-6


def test_examples_of_some_queries_keep_their_members_in_order():
    examples = examples_of(EYE, [rows(3, 1), rows(), rows(2), rows(0, 2, 2)], 4)
    assert len(examples.z_q_SD) == 3  # a query without a reference is left out
    part = examples.part(rows(2, 0))
    assert (part.queries_N.tolist(), part.rows_N.tolist()) == ([0, 0, 1, 1], [0, 2, 1, 3])
    assert part.z_q_SD.tolist() == EYE[[3, 0]].tolist()


def test_beta_and_the_bias_are_chosen_by_the_recall_of_seen_and_of_unseen_items():
    # The reference holds items 1 (seen) and 3 (unseen). Only the direction finds item 3, only the bias finds item 1.
    examples = examples_of(EYE[:1], [rows(1, 3)], 4)
    seen_M = np.array([False, True, False, False])
    scores_BM, nearest_BM = np.float32([[1.0, 0.6, 0.9, 0.1]]), np.float32([[0, 0, 0, 1.0]])
    choice = choose(scores_BM, nearest_BM, examples, seen_M, budget=2)
    assert (choice.recall, choice.recall_seen, choice.recall_unseen) == (1, 1, 1)
    final_M = scores_BM[0] + choice.beta * nearest_BM[0] + choice.seen_bias * seen_M
    assert set(np.argsort(-final_M)[:2].tolist()) == {1, 3}
    assert choice.beta == 1.0  # the smallest beta that finds it


def test_training_lowers_the_loss_of_new_queries_of_the_same_kind():
    # Two kinds of queries. The sets of each kind hold their own two of the items, whose embeddings say nothing.
    rng = np.random.default_rng(0)
    kinds = rng.integers(2, size=80)
    z_q_SD = (EYE[kinds] + 0.3 * rng.standard_normal((80, 4))).astype(np.float32)
    z_q_SD /= np.linalg.norm(z_q_SD, axis=1, keepdims=True)
    examples = examples_of(z_q_SD, [rows(2 * kind, 2 * kind + 1) for kind in kinds], 4)
    train, val = (examples.part(rows(*part)) for part in (range(60), range(60, 80)))
    emb_MD = np.tile(EYE[:1], (4, 1))
    trained = train_weights(train, val, emb_MD, DecoderConfig(max_steps=40), seed=0)
    losses = [loss for _, loss in trained.losses]
    assert min(losses) < losses[0]
    scores_BM = val.z_q_SD @ trained.own_MD.T + trained.bias_M
    top_B2 = np.sort(np.argsort(-scores_BM, axis=1)[:, :2], axis=1)
    assert (top_B2 == val.rows_N.reshape(-1, 2)).all()


def test_the_scores_of_the_validation_queries_fit_into_memory() -> None:
    assert num_val_queries(5_000, 4_606) == 1_000
    assert num_val_queries(247, 4_606) == 247
    assert num_val_queries(5_000, 1_000_000) == 134
    assert num_val_queries(5_000, 10**9) == 1
    assert num_val_queries(0, 0) == 0
