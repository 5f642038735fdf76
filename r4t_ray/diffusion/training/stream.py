"""Training pairs as a sequence of shuffled blocks that Ray Data reads; the number of a block determines its pairs.

Each epoch shuffles the files. Every ``num_rows`` pairs in that order are one block, and each block is shuffled by
itself. Worker i of n gets the blocks i, n + i, 2n + i and so on. So workers that restart continue where they stopped,
with the batches of an uninterrupted run.
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
"""Most blocks of one execution of Ray Data. An execution keeps a record of each block, and takes seconds to start."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The blocks of one task's training pairs.

    Attributes:
        files: Path -> number of training pairs in the file.
        num_rows: Pairs in a block.
        seed: Seed of both shuffles.
    """

    files: dict[str, int]
    num_rows: int
    seed: int

    def slices(self, number: int) -> Iterator[tuple[str, int, int]]:
        """The parts of a block in order: path, first training pair, number of pairs."""
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
        """The numbered blocks in order; a Ray Data task reads each."""
        items = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        items.context.enable_progress_bars = False
        items.context.execution_options.preserve_order = True
        items.context.target_max_block_size = None  # the output of a task is one block, however large
        return items.map_batches(partial(_read, blocks=self), batch_size=None, batch_format="pyarrow")


def _read(numbers: pa.Table, blocks: Blocks) -> pa.Table:
    (number,) = numbers["number"].to_pylist()
    return blocks.read(number)


def rows_of_block(shuffle_rows: int, batch_size: int, num_pairs: int) -> int:
    """Pairs in a block: the most full batches that fit into ``shuffle_rows`` and ``num_pairs``, at least one batch.

    >>> rows_of_block(16_384, 500, 10**6), rows_of_block(16_384, 500, 1200), rows_of_block(100, 500, 1200)
    (16000, 1000, 500)
    """
    return max(min(shuffle_rows, num_pairs) // batch_size, 1) * batch_size


def streamed_batches(
    blocks: Blocks, batch_size: int, collate: PairCollate, *, used: int, num_steps: int, rank: int, num_workers: int
) -> Generator[dict[str, Tensor], None, None]:
    """This worker's share of the batches after the first ``used``, up to ``num_steps`` batches or a few more.

    All Ray Train workers call it with the same arguments except ``rank``. ``batch_size`` is the batch size of one
    worker; it divides ``blocks.num_rows``.
    """
    steps = blocks.num_rows // batch_size
    turn, skipped = divmod(used, steps)
    stop = -(-num_steps // steps)
    while turn < stop:
        until = min(turn + max(MOST_READS // num_workers, 1), stop)
        numbers = range(turn * num_workers, until * num_workers)
        # The coordinator, a process that the first worker starts, runs the execution of all workers.
        shards: list[DataIterator] | None = None
        if rank == 0:
            shards = blocks.dataset(numbers).streaming_split(num_workers, equal=True)
        shards = broadcast_from_rank_zero(shards)
        batches: Any = shards[rank].iter_torch_batches(batch_size=batch_size, collate_fn=collate, drop_last=True)
        yield from islice(batches, skipped, None)
        turn, skipped = until, 0
