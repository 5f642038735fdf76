"""merge_topk against a full sort, and the sizes of shards."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from r4t_ray.index import merge_topk
from r4t_ray.index.write import shard_offsets


def test_ties_go_to_the_lower_row_across_shards() -> None:
    scores = [np.array([[0.9, 0.5], [0.1, 0.0]], np.float32), np.array([[0.9, 0.7], [0.1, 0.1]], np.float32)]
    rows = [np.array([[4, 2], [1, 0]]), np.array([[3, 9], [8, 5]])]
    merged_scores, merged_rows = merge_topk(scores, rows, 3)
    assert merged_rows.tolist() == [[3, 4, 9], [1, 5, 8]]
    assert np.allclose(merged_scores, [[0.9, 0.9, 0.7], [0.1, 0.1, 0.1]])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 8), st.integers(0, 2**31))
def test_merge_equals_a_sort_of_all_hits(widths: list[int], k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.integers(0, 4, size=(3, width)).astype(np.float32) for width in widths]
    numbers = rng.permuted(np.tile(np.arange(sum(widths)), (3, 1)), axis=1)
    rows = np.split(numbers, np.cumsum(widths)[:-1], axis=1)
    merged_scores, merged_rows = merge_topk(scores, rows, k)
    for query in range(3):
        pairs = sorted(
            (-s, r) for part, rs in zip(scores, rows, strict=True) for s, r in zip(part[query], rs[query], strict=True)
        )
        assert [(-s, r) for s, r in zip(merged_scores[query], merged_rows[query], strict=True)] == pairs[:k]


@given(st.integers(1, 200), st.integers(1, 200))
def test_offsets_cover_every_row_in_even_shards(num_rows: int, num_shards: int) -> None:
    num_shards = min(num_rows, num_shards)
    offsets = shard_offsets(num_rows, num_shards)
    sizes = np.diff(offsets)
    assert (offsets[0], offsets[-1], len(sizes)) == (0, num_rows, num_shards)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
