"""Training pairs as a sequence of shuffled blocks, each a function of its number, which Ray Data reads for the workers.

Epoch after epoch the files come in another order, and every ``num_rows`` of the pairs in them, from the first on, are a
block, shuffled by itself. Worker i of n gets the blocks i, n + i, 2n + i and so on. So workers that start again read on
where they stopped, and get the batches of a run that was not broken.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import ray.data
from ray.data import DataIterator
from ray.train.collective import broadcast_from_rank_zero
from torch import Tensor

from r4t_ray.diffusion.training.batches import COLUMNS, PairCollate

MOST_READS = 1000
"""Blocks that one execution of Ray Data reads, at most: it keeps a note of each, and takes seconds to start."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of one task's training pairs.

    Attributes:
        files: How many training pairs each file has, by its path.
        num_rows: Pairs of a block.
        seed: Of the orders.
    """

    files: dict[str, int]
    num_rows: int
    seed: int

    def slices(self, number: int) -> Iterator[tuple[str, int, int]]:
        """What a block is made of, in order: path, first training pair of it, how many."""
        epoch, skipped = divmod(number * self.num_rows, sum(self.files.values()))
        left, paths = self.num_rows, list(self.files)
        while True:
            for place in np.random.default_rng((self.seed, 0, epoch)).permutation(len(paths)):
                size = self.files[paths[place]]
                taken = min(size - skipped, left)
                if taken > 0:
                    yield paths[place], skipped, taken
                    left -= taken
                if not left:
                    return
                skipped = max(skipped - size, 0)
            epoch += 1

    def read(self, number: int) -> pa.Table:
        """The ``COLUMNS`` of a block's pairs, in the order in which they are used."""
        parts = [
            pads.dataset(path, format="parquet")
            .to_table(COLUMNS, filter=pads.field("split") == "train")
            .slice(first, count)
            for path, first, count in self.slices(number)
        ]
        order_N = np.random.default_rng((self.seed, 1, number)).permutation(self.num_rows)
        return pa.concat_tables(parts).take(order_N)

    def dataset(self, numbers: range) -> ray.data.Dataset:
        """Blocks in order, each read by a task of Ray Data."""
        items = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        items.context.enable_progress_bars = False
        items.context.execution_options.preserve_order = True
        items.context.target_max_block_size = None  # what a task gives is one block, however large
        return items.map_batches(partial(_read, blocks=self), batch_size=None, batch_format="pyarrow")


def _read(numbers: pa.Table, blocks: Blocks) -> pa.Table:
    (number,) = numbers["number"].to_pylist()
    return blocks.read(number)


def rows_of_block(shuffle_rows: int, batch_size: int, num_pairs: int) -> int:
    """The most whole batches within ``shuffle_rows`` pairs and the pairs that there are, but one at least; in pairs.

    >>> rows_of_block(16_384, 500, 10**6), rows_of_block(16_384, 500, 1200), rows_of_block(100, 500, 1200)
    (16000, 1000, 500)
    """
    return max(min(shuffle_rows, num_pairs) // batch_size, 1) * batch_size


def streamed_batches(
    blocks: Blocks, batch_size: int, used: int, num_steps: int, rank: int, num_workers: int, collate: PairCollate
) -> Generator[dict[str, Tensor], None, None]:
    """This worker's share of the batches after the first ``used``, up to ``num_steps`` of them or a few more.

    All workers of Ray Train call it, with the same numbers. ``batch_size`` is that of a worker and divides a block.
    """
    steps = blocks.num_rows // batch_size
    turn, skipped = divmod(used, steps)
    stop = -(-num_steps // steps)
    while turn < stop:
        until = min(turn + max(MOST_READS // num_workers, 1), stop)
        numbers = range(turn * num_workers, until * num_workers)
        # The first worker's coordinator, a process of its own, runs the execution for all of them.
        shards: list[DataIterator] | None = None
        if rank == 0:
            shards = blocks.dataset(numbers).streaming_split(num_workers, equal=True)
        shards = broadcast_from_rank_zero(shards)
        batches: Any = shards[rank].iter_torch_batches(batch_size=batch_size, collate_fn=collate, drop_last=True)
        yield from islice(batches, skipped, None)
        turn, skipped = until, 0
