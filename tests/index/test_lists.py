"""Inverted lists: small pools, files, default points, odd widths, and the rule of ``auto``."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from r4t_ray.index import IndexConfig, Shard
from r4t_ray.index.index_types import INDEX_TYPES, IndexTypeName, type_of
from r4t_ray.index.ivf import lists_of, num_lists
from r4t_ray.index.tuning import measure, recall_against_flat, set_point, tune
from r4t_ray.index.write import build_shards
from r4t_ray.types import Array, Search

TYPES = list(INDEX_TYPES)
LISTS: list[IndexTypeName] = ["ivf_flat", "ivf_rabitq", "ivf_pq"]


def unit_rows(seed: int, num: int, dim: int = 16) -> Array:
    rows = np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def one_shard(kind: IndexTypeName, emb_MD: Array) -> Shard:
    (index,) = build_shards(IndexConfig(type=kind, num_shards=1), emb_MD)
    return Shard(index=index, type=kind, offset=0)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("num", [1, 2, 15, 40])
def test_a_pool_of_few_rows_is_found_whole(kind: IndexTypeName, num: int, capfd: pytest.CaptureFixture[str]) -> None:
    emb_MD = unit_rows(0, num)
    scores_LK, rows_LK = one_shard(kind, emb_MD).search(Search(z_LD=emb_MD, num_hits=num + 3))
    assert np.array_equal(rows_LK[:, 0], np.arange(num))
    assert np.sort(rows_LK, axis=1).tolist() == [list(range(num))] * num
    assert np.abs(scores_LK - np.take_along_axis(emb_MD @ emb_MD.T, rows_LK, axis=1)).max() < 1e-6
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", TYPES)
def test_an_odd_width_and_rows_of_any_length_are_found(kind: IndexTypeName) -> None:
    """The rows of the decoder's index have width 2 D + 1 and are no unit rows."""
    rng = np.random.default_rng(1)
    emb_MD = (unit_rows(2, 300, 17) * rng.uniform(0.5, 2, size=(300, 1))).astype(np.float32)
    z_LD, shard = unit_rows(3, 20, 17), one_shard(kind, emb_MD)
    set_point([shard], INDEX_TYPES[kind].points(shard.index)[-1])
    rows_LK = shard.search(Search(z_LD=z_LD, num_hits=10))[1]
    true_LK = np.argsort(-(z_LD @ emb_MD.T), axis=1)[:, :10]
    assert (rows_LK[:, :, None] == true_LK[:, None, :]).any(axis=1).mean() >= 0.99


@pytest.mark.parametrize("kind", LISTS)
def test_shards_have_the_same_centroids_and_the_same_bytes_in_every_build(kind: IndexTypeName) -> None:
    config, emb_MD = IndexConfig(type=kind, num_shards=2), unit_rows(4, 400)
    first, second = (list(build_shards(config, emb_MD)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(faiss.serialize_index(one), faiss.serialize_index(other))
    centroids = [lists_of(index).quantizer.reconstruct_n(0, num_lists(200)) for index in first]
    assert np.array_equal(*centroids)


def test_auto_is_exhaustive_for_a_small_pool_and_a_graph_until_the_pool_is_large() -> None:
    auto = IndexConfig()
    sizes = [(8_192, 128), (8_193, 128), (1_000_000, 128), (2**20, 128), (2**20 + 1, 128), (200_000, 768)]
    assert [type_of(auto, *size) for size in sizes] == ["flat", "hnsw", "hnsw", "hnsw", "ivf_pq", "ivf_pq"]
    assert type_of(IndexConfig(type="flat"), 2**30, 128) == "flat"


@pytest.mark.parametrize("kind", ["hnsw", "ivf_flat", "ivf_pq"])
def test_the_recall_of_a_hundred_hits_is_near_the_recall_of_ten_for_which_the_point_was_chosen(
    kind: IndexTypeName,
) -> None:
    shard, z_LD = one_shard(kind, unit_rows(7, 6_000)), unit_rows(8, 40)
    tune([shard], z_LD, 0.5)
    assert recall_against_flat([shard], z_LD, 100) >= recall_against_flat([shard], z_LD, 10) - 0.1


@pytest.mark.parametrize("kind", ["hnsw", *LISTS])
def test_the_cheapest_point_that_reaches_the_target_is_set(kind: IndexTypeName) -> None:
    shard, z_LD = one_shard(kind, unit_rows(5, 1_500)), unit_rows(6, 40)
    tried = tune([shard], z_LD, 0.95)
    recalls = [each.recall_at_10 for each in tried]
    assert recalls == sorted(set(recalls))
    assert recalls[-1] >= 0.95 > max(recalls[:-1], default=0)
    assert recall_against_flat([shard], z_LD, 10) == pytest.approx(recalls[-1])
    assert all(each.ms > 0 for each in tried)
    true_BK = one_shard("flat", unit_rows(5, 1_500)).search(Search(z_LD=z_LD, num_hits=10))[1]
    assert measure([shard], z_LD, true_BK, tried[-1].point).recall_at_10 == recalls[-1]
    points = INDEX_TYPES[kind].points(shard.index)
    for cheaper in points[: points.index(tried[-1].point)]:
        assert measure([shard], z_LD, true_BK, cheaper).recall_at_10 < 0.95


def test_a_target_out_of_reach_leaves_the_best_point_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    config = IndexConfig(type="hnsw", num_shards=1, hnsw_m=2, ef_construction=1)
    emb_MD = unit_rows(7, 20_000)
    (index,) = build_shards(config, emb_MD)
    shard = Shard(index=index, type="hnsw", offset=0)
    tried = tune([shard], unit_rows(8, 40), 0.999)
    assert index.hnsw.efSearch == tried[-1].point["ef_search"]
    assert tried[-1].recall_at_10 < 0.999
    assert "index.target_recall 0.999 is not reached" in caplog.text
    assert "index.hnsw_m" in caplog.text
