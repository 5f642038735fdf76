"""Blocks of training pairs: each pair once per epoch, the same for every reader, in order through real Ray Data."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.diffusion.training import stream
from r4t_ray.diffusion.training.batches import PairCollate
from r4t_ray.diffusion.training.stream import Blocks, streamed_batches

NUM_PAIRS = 11
COLLATE = PairCollate(NetworkConfig(num_rows=1, dim=2, num_anchors=0), 1.0)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, int]:
    """Eleven training pairs, pair i with weight i, in four files among validation pairs, whose weight is -1."""
    written, first = {}, 0
    for number, size in enumerate((1, 5, 2, 3)):
        weights = [-1, *range(first, first + size), -1]
        values = pa.array(np.repeat(np.array(weights, np.float16), 2))
        table = pa.table(
            {
                "split": ["val", *["train"] * size, "val"],
                "weight": pa.array(weights, pa.int32()),
                "z_q": pa.FixedSizeListArray.from_arrays(values, 2),
                "Z": pa.FixedSizeListArray.from_arrays(values, 2),
            }
        )
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path)
        written[str(path)], first = size, first + size
    return written


def pairs_of(blocks: Blocks, number: int) -> list[int]:
    return blocks.read(number)["weight"].to_pylist()


def unshuffled(blocks: Blocks, number: int) -> Iterator[int]:
    """The pairs in the slices of a block."""
    starts = dict(zip(blocks.files, np.cumsum([0, *blocks.files.values()]).tolist(), strict=False))
    for path, first, count in blocks.slices(number):
        yield from range(starts[path] + first, starts[path] + first + count)


@pytest.mark.parametrize("num_rows", [1, 3, 4, 11])
def test_consecutive_blocks_are_whole_epochs(files: dict[str, int], num_rows: int) -> None:
    blocks = Blocks(files=files, num_rows=num_rows, seed=3)
    made = [list(unshuffled(blocks, number)) for number in range(4 * NUM_PAIRS)]
    assert all(len(block) == num_rows for block in made)
    pairs = [pair for block in made for pair in block]
    epochs = [pairs[first : first + NUM_PAIRS] for first in range(0, 4 * NUM_PAIRS, NUM_PAIRS)]
    assert all(sorted(epoch) == list(range(NUM_PAIRS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1  # files in another order


def test_a_block_holds_the_pairs_of_its_slices_shuffled_and_whole(files: dict[str, int]) -> None:
    blocks = Blocks(files=files, num_rows=7, seed=0)
    for number in range(6):
        assert sorted(pairs_of(blocks, number)) == sorted(unshuffled(blocks, number))
        assert pairs_of(blocks, number) == pairs_of(Blocks(files=files, num_rows=7, seed=0), number)
        batch = COLLATE(blocks.read(number))
        assert torch.equal(batch["Z"][:, 0, 1], batch["weight"])
    assert any(pairs_of(blocks, number) != list(unshuffled(blocks, number)) for number in range(6))
    assert [pairs_of(blocks, n) for n in range(6)] != [
        pairs_of(Blocks(files=files, num_rows=7, seed=1), n) for n in range(6)
    ]


def test_ray_data_gives_each_worker_its_blocks_in_order(ray_session: str, files: dict[str, int]) -> None:
    blocks = Blocks(files=files, num_rows=4, seed=5)
    first, second = blocks.dataset(range(2, 8)).streaming_split(2, equal=True)
    with ThreadPoolExecutor() as pool:  # they wait for each other
        mine, other = pool.map(lambda shard: [row["weight"] for row in shard.iter_rows()], (first, second))
    for own, numbers in ((mine, (2, 4, 6)), (other, (3, 5, 7))):
        assert own == [pair for number in numbers for pair in pairs_of(blocks, number)]


@pytest.mark.parametrize("used", [pytest.param(3, marks=pytest.mark.slow), 8])
def test_a_stream_continues_after_the_used_batches(
    ray_session: str, files: dict[str, int], monkeypatch: pytest.MonkeyPatch, used: int
) -> None:
    """Three batches per block, two blocks per execution: start within a block, and at the start of an execution."""
    monkeypatch.setattr(stream, "MOST_READS", 2)
    monkeypatch.setattr(stream, "broadcast_from_rank_zero", lambda shards: shards)
    blocks = Blocks(files=files, num_rows=6, seed=2)
    expected = [pair for number in range(3) for pair in pairs_of(blocks, number)]
    batches = list(islice(streamed_batches(blocks, 2, COLLATE, used=used, num_steps=9, rank=0, num_workers=1), 20))
    assert [int(pair) for batch in batches for pair in batch["weight"]] == expected[2 * used :]
