"""Every index type, with any number of shards, agrees with brute force over the same rows."""

from __future__ import annotations

import dataclasses

import faiss
import numpy as np
import pytest

from r4t_ray.errors import RequestError
from r4t_ray.index import IndexConfig, Shard, ShardedIndex, hnsw, search_shards
from r4t_ray.index.flat import build_flat
from r4t_ray.index.index_types import INDEX_TYPES, IndexTypeName
from r4t_ray.index.ivf import num_lists
from r4t_ray.index.tuning import recall_against_flat, set_point, tune
from r4t_ray.index.write import build_shards, shard_offsets
from r4t_ray.types import Array, Rows, Search

TYPES = list(INDEX_TYPES)
LISTS: list[IndexTypeName] = ["ivf_flat", "ivf_rabitq", "ivf_pq"]
LEAST_RECALL: dict[IndexTypeName, float] = {kind: 0.95 if kind == "hnsw" else 1.0 for kind in TYPES}


def unit_rows(seed: int, num: int, dim: int = 16) -> Array:
    rows = np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def make_index(kind: IndexTypeName, emb_MD: Array, num_shards: int) -> ShardedIndex:
    """An index that scores all its lists and re-ranks as many rows as it may, so that it is exact."""
    config, offsets = IndexConfig(type=kind, num_shards=num_shards), shard_offsets(len(emb_MD), num_shards)
    built = zip(build_shards(config, emb_MD), offsets[:-1], strict=True)
    shards = tuple(Shard(index=index, type=kind, offset=start) for index, start in built)
    if kind in LISTS:
        set_point(shards, INDEX_TYPES[kind].points(shards[0].index)[-1])
    return ShardedIndex(shards=shards, ids=[f"i{row}" for row in range(len(emb_MD))], emb_MD=emb_MD)


def brute_force(q_BD: Array, emb_MD: Array, k: int) -> Rows:
    scores_BM = q_BD.astype(np.float64) @ emb_MD.astype(np.float64).T
    rows_BM = np.broadcast_to(np.arange(len(emb_MD)), scores_BM.shape)
    order_BM = np.lexsort((rows_BM, -scores_BM.round(6)), axis=1)
    return np.asarray(order_BM[:, :k], dtype=np.int64)


@pytest.mark.parametrize("num_shards", [1, 3, 7])
@pytest.mark.parametrize("kind", TYPES)
def test_recall_against_brute_force(kind: IndexTypeName, num_shards: int) -> None:
    emb_MD, q_BD = unit_rows(0, 1000), unit_rows(1, 40)
    scores_BK, rows_BK = make_index(kind, emb_MD, num_shards).search(q_BD, 10)
    found = [len(set(got) & set(true)) for got, true in zip(rows_BK, brute_force(q_BD, emb_MD, 10), strict=True)]
    assert np.mean(found) / 10 >= LEAST_RECALL[kind]
    assert np.abs(scores_BK - np.einsum("bd,bkd->bk", q_BD, emb_MD[rows_BK])).max() < 1e-6
    assert (np.diff(scores_BK, axis=1) <= 0).all()
    assert rows_BK.dtype == np.int64


@pytest.mark.parametrize("num_shards", [2, 3, 8])
@pytest.mark.parametrize("k", [1, 10, 130])
def test_flat_shards_equal_one_flat_index_bit_by_bit(num_shards: int, k: int) -> None:
    emb_MD, q_BD = unit_rows(2, 1003), unit_rows(3, 33)
    emb_MD[500:510] = emb_MD[5]
    one, many = make_index("flat", emb_MD, 1), make_index("flat", emb_MD, num_shards)
    scores_BK, rows_BK = one.search(q_BD, k)
    sharded_scores_BK, sharded_rows_BK = many.search(q_BD, k)
    assert np.array_equal(scores_BK, sharded_scores_BK)
    assert np.array_equal(rows_BK, sharded_rows_BK)
    assert np.array_equal(rows_BK, brute_force(q_BD, emb_MD, k))


@pytest.mark.parametrize("num_shards", [1, 3, 8])
@pytest.mark.parametrize("num_hits", [1, 10, 40])
def test_the_next_rows_replace_excluded_rows(num_shards: int, num_hits: int) -> None:
    emb_MD, z_LD = unit_rows(2, 45), unit_rows(3, 12)
    excluded = (0, 7, 8, 9, 44)
    index = make_index("flat", emb_MD, num_shards)
    search = Search(z_LD=z_LD, num_hits=num_hits, exclude=excluded)
    scores_LK, rows_LK = search_shards(index.shards, search)
    left = [row for row in range(45) if row not in excluded]
    assert np.array_equal(rows_LK, np.array(left)[brute_force(z_LD, emb_MD[left], num_hits)])
    assert np.abs(scores_LK - np.einsum("ld,lkd->lk", z_LD, emb_MD[rows_LK])).max() < 1e-6
    scores_LK, rows_LK = search_shards(index.shards, Search(z_LD=z_LD, num_hits=43, exclude=excluded))
    assert (rows_LK[:, 40:] == -1).all()
    assert (rows_LK[:, :40] >= 0).all()
    assert (scores_LK[:, 40:] == -np.inf).all()


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize("kind", TYPES)
def test_a_search_with_where_finds_these_rows_only(kind: IndexTypeName, num_shards: int) -> None:
    emb_MD, z_LD = unit_rows(2, 45), unit_rows(3, 12)
    shards = make_index(kind, emb_MD, num_shards).shards
    where, left = np.array([0, 3, 7, 16, 20, 44]), [3, 7, 16, 20, 44]
    search = Search(z_LD=z_LD, num_hits=4, where=where, exclude=(0, 1))
    scores_LK, rows_LK = search_shards(shards, search)
    assert np.array_equal(rows_LK, np.array(left)[brute_force(z_LD, emb_MD[left], 4)])
    assert np.abs(scores_LK - np.einsum("ld,lkd->lk", z_LD, emb_MD[rows_LK])).max() < 1e-6
    scores_LK, rows_LK = search_shards(shards, dataclasses.replace(search, num_hits=8))
    assert np.array_equal(np.sort(rows_LK[:, :5]), np.tile(left, (12, 1)))
    assert (rows_LK[:, 5:] == -1).all()
    assert (scores_LK[:, 5:] == -np.inf).all()
    mask = np.isin(np.arange(45), where)
    masked = search_shards(shards, dataclasses.replace(search, where=mask))
    assert np.array_equal(masked[1], search_shards(shards, search)[1])
    nothing = Search(z_LD=z_LD, num_hits=2, where=np.array([], np.int64))
    assert (search_shards(shards, nothing)[1] == -1).all()


@pytest.fixture(scope="module", params=TYPES)
def filtered(request: pytest.FixtureRequest) -> tuple[IndexTypeName, Array, ShardedIndex]:
    """8,000 rows; lists have the cheapest point whose recall without a mask is 0.99."""
    emb_MD = unit_rows(20, 8_000)
    index = make_index(request.param, emb_MD, 1)
    if request.param in LISTS:
        tried = tune(index.shards, unit_rows(23, 40), 0.99)
        assert tried[-1].point["nprobe"] < num_lists(8_000)
    return request.param, emb_MD, index


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("by_graph", [False, True])
def test_recall_among_the_rows_of_a_mask(
    filtered: tuple[IndexTypeName, Array, ShardedIndex], share: float, by_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.1% of the rows are 8. ``by_graph`` walks the graph even where an exhaustive search would be chosen."""
    kind, emb_MD, index = filtered
    if by_graph:
        monkeypatch.setattr(hnsw, "SCORED_PER_CANDIDATE", 0)
    z_LD, passing = unit_rows(21, 30), np.zeros(8_000, dtype=bool)
    passing[np.random.default_rng(22).permutation(8_000)[: round(8_000 * share)]] = True
    num_hits = min(10, int(passing.sum()))
    scores_LK, rows_LK = search_shards(index.shards, Search(z_LD=z_LD, num_hits=num_hits, where=passing))
    true_LK = np.flatnonzero(passing)[brute_force(z_LD, emb_MD[passing], num_hits)]
    assert passing[rows_LK].all()
    assert np.abs(scores_LK - np.einsum("ld,lkd->lk", z_LD, emb_MD[rows_LK])).max() < 1e-6
    recall = (rows_LK[:, :, None] == true_LK[:, None, :]).any(axis=1).mean()
    assert recall >= (1.0 if kind == "flat" else 0.99)
    everything = search_shards(index.shards, Search(z_LD=z_LD, num_hits=5, where=np.ones(8_000, dtype=bool)))
    assert (everything[1] == index.search(z_LD, 5)[1]).mean() >= 0.99


@pytest.mark.parametrize("kind", TYPES)
def test_a_score_does_not_depend_on_the_batch(kind: IndexTypeName) -> None:
    index, q_BD = make_index(kind, unit_rows(4, 300, dim=128), 2), unit_rows(5, 50, dim=128)
    scores_BK, rows_BK = index.search(q_BD, 5)
    alone = [index.search(q_BD[row : row + 1], 5) for row in range(50)]
    assert np.array_equal(scores_BK, np.concatenate([scores for scores, _ in alone]))
    assert np.array_equal(rows_BK, np.concatenate([rows for _, rows in alone]))


@pytest.mark.parametrize("kind", TYPES)
def test_equal_rows_come_in_row_order(kind: IndexTypeName) -> None:
    emb_MD = unit_rows(6, 60)
    emb_MD[[50, 7, 31]] = emb_MD[20]
    _, rows_BK = make_index(kind, emb_MD, 3).search(emb_MD[20:21], 4)
    assert rows_BK.tolist() == [[7, 20, 31, 50]]


@pytest.mark.parametrize("kind", TYPES)
def test_a_k_above_the_pool_size_returns_every_row_once(kind: IndexTypeName) -> None:
    scores_BK, rows_BK = make_index(kind, unit_rows(7, 9), 4).search(unit_rows(8, 2), 50)
    assert scores_BK.shape == (2, 9)
    assert np.sort(rows_BK, axis=1).tolist() == [list(range(9))] * 2


@pytest.mark.parametrize("kind", TYPES)
def test_bad_queries_are_refused(kind: IndexTypeName) -> None:
    index = make_index(kind, unit_rows(9, 20), 2)
    with pytest.raises(RequestError, match="k: got 0"):
        index.search(unit_rows(0, 1), 0)
    with pytest.raises(RequestError, match=r"\(B, 16\)"):
        index.search(unit_rows(0, 1, dim=8), 3)
    with pytest.raises(RequestError, match="finite"):
        index.search(np.full((1, 16), np.nan, np.float32), 3)
    assert index.search(np.empty((0, 16), np.float32), 3)[1].shape == (0, 3)


class HalfReached(Shard):
    """A shard whose search reaches the first half of 8,000 rows."""

    @property
    def storage(self) -> faiss.IndexFlat:
        return build_flat(unit_rows(10, 8_000))


def test_recall_is_the_share_of_true_neighbours_found() -> None:
    emb_MD, queries_BD = unit_rows(10, 8_000), unit_rows(11, 50)
    (graph,) = build_shards(IndexConfig(type="hnsw", num_shards=1, ef_search=200), emb_MD[:4_000])
    half = HalfReached(index=graph, type="hnsw", offset=0)
    reachable = (brute_force(queries_BD, emb_MD, 10) < 4_000).mean()
    assert recall_against_flat([half], queries_BD, 10) == pytest.approx(reachable)
    assert recall_against_flat(make_index("flat", emb_MD, 2).shards, queries_BD, 10) == 1.0


def test_a_graph_with_unreachable_rows_returns_all_hits() -> None:
    emb_MD = unit_rows(12, 500)
    (index,) = build_shards(IndexConfig(type="hnsw", num_shards=1, hnsw_m=2, ef_construction=1, ef_search=1), emb_MD)
    assert (index.search(emb_MD[:50], 100)[1] < 0).any()
    _, rows_BK = Shard(index=index, type="hnsw", offset=0).search(Search(z_LD=emb_MD[:50], num_hits=100))
    assert all(len(set(rows)) == 100 and min(rows) >= 0 for rows in rows_BK.tolist())


@pytest.mark.parametrize("kind", TYPES)
def test_additional_rows_are_found_like_indexed_rows(kind: IndexTypeName) -> None:
    emb_MD, q_BD = unit_rows(8, 300), unit_rows(9, 40)
    old = make_index(kind, emb_MD[:270], 2)
    grown = old.with_rows([f"new{row}" for row in range(30)], emb_MD[270:])
    assert (old.size, grown.size, grown.ids[270]) == (270, 300, "new0")
    assert np.array_equal(grown.emb_MD, emb_MD)
    rows_BK, true_BK = grown.search(q_BD, 10)[1], brute_force(q_BD, emb_MD, 10)
    found = [len(set(got) & set(true)) for got, true in zip(rows_BK, true_BK, strict=True)]
    assert np.mean(found) / 10 >= LEAST_RECALL[kind]
    assert (rows_BK >= 270).any()
    assert old.with_rows([], emb_MD[:0]) is old


@pytest.mark.parametrize("kind", TYPES)
def test_an_index_of_some_rows_finds_only_them_and_renumbers_them(kind: IndexTypeName) -> None:
    emb_MD, q_BD = unit_rows(8, 300), unit_rows(9, 40)
    rows, index = list(range(0, 300, 3)), make_index(kind, emb_MD, 2)
    some = index.of_rows(rows)
    assert some.ids == [index.ids[row] for row in rows]
    assert np.array_equal(some.emb_MD, emb_MD[rows])
    assert np.array_equal(some.search(q_BD, 10)[1], brute_force(q_BD, emb_MD[rows], 10))
    alone = index.of_rows([]).with_rows(some.ids, some.emb_MD)
    assert np.array_equal(alone.search(q_BD, 10)[1], some.search(q_BD, 10)[1])
