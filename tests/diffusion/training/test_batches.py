from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.diffusion.training.batches import (
    PairCollate,
    cached_batches,
    inspect_pairs,
    load_pairs,
    mean_weight,
    permute_rows,
)
from r4t_ray.errors import DataError, MissingArtifactError

SHAPE = NetworkConfig(num_rows=2, dim=3, num_anchors=0)
COLLATE = PairCollate(SHAPE, 1.0)


def pairs_table(num_pairs: int) -> pa.Table:
    """Pair i holds z_q = 3i.. and row-major Z = 6i.. in float16, with weight i + 1."""
    z_q = pa.array(np.arange(num_pairs * 3, dtype=np.float16))
    targets = pa.array(np.arange(num_pairs * 6, dtype=np.float16))
    return pa.table(
        {
            "split": ["train"] * (num_pairs - 1) + ["val"],
            "weight": pa.array(range(1, num_pairs + 1), pa.int32()),
            "z_q": pa.FixedSizeListArray.from_arrays(z_q, 3),
            "Z": pa.FixedSizeListArray.from_arrays(targets, 6),
        }
    )


def test_collate_keeps_rows_in_row_major_order_over_slices_and_chunks() -> None:
    table = pairs_table(5)
    batch = PairCollate(SHAPE, 2.0)(pa.concat_tables([table.slice(3, 1), table.slice(1, 2)]))
    assert batch["weight"].tolist() == [2, 1, 1.5]
    assert batch["Z"].dtype == batch["z_q"].dtype == torch.float32
    assert batch["z_q"].tolist() == [[9, 10, 11], [3, 4, 5], [6, 7, 8]]
    assert batch["Z"][0].tolist() == [[18, 19, 20], [21, 22, 23]]
    assert batch["Z"][2].tolist() == [[12, 13, 14], [15, 16, 17]]


def test_pairs_are_counted_by_split_and_their_shape_is_read(tmp_path: Path) -> None:
    pq.write_table(pairs_table(4), tmp_path / "a.parquet")
    pq.write_table(pairs_table(3), tmp_path / "b.parquet")
    pq.write_table(pairs_table(1), tmp_path / "c.parquet")
    paths = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    assert inspect_pairs(tmp_path) == (dict(zip(paths, (3, 2), strict=True)), 3, 2, 3)
    assert mean_weight(tmp_path) == pytest.approx((1 + 2 + 3 + 1 + 2) / 5)


def test_pairs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="synthesize-pairs"):
        inspect_pairs(tmp_path)
    values = pa.array(np.zeros(16, np.float16))
    for column, message in (
        (pa.FixedSizeListArray.from_arrays(values, 4), "a multiple of the 3 of z_q"),
        (pa.array([[0.0] * 6] * 4), "expected a fixed-size list"),
    ):
        pq.write_table(pairs_table(4).set_column(3, "Z", column), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=message):
            inspect_pairs(tmp_path)
    pq.write_table(pairs_table(4).drop_columns(["Z"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"\['Z'\]"):
        inspect_pairs(tmp_path)


def test_cached_epochs_hold_all_full_batches_in_a_new_order() -> None:
    batches = cached_batches(COLLATE(pairs_table(7)), batch_size=3, seed=0)
    epochs = [[next(batches) for _ in range(2)] for _ in range(3)]
    orders = [[int(first) // 3 for batch in epoch for first in batch["z_q"][:, 0]] for epoch in epochs]
    assert all(len(set(order)) == 6 and set(order) < set(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert all(torch.equal(batch["Z"][:, 0, 0], 2 * batch["z_q"][:, 0]) for epoch in epochs for batch in epoch)


@pytest.mark.parametrize("num_used", [1, 2, 5])
def test_cached_batches_continue_after_the_used_ones(num_used: int) -> None:
    """Two batches per epoch: start within the first epoch, at the start of the second, within the third."""
    unbroken, resumed = (cached_batches(COLLATE(pairs_table(7)), 3, seed=4, num_used=used) for used in (0, num_used))
    expected = [next(unbroken) for _ in range(num_used + 5)][num_used:]
    assert all(torch.equal(next(resumed)["Z"], batch["Z"]) for batch in expected)


def test_the_parts_of_the_workers_make_up_a_split(tmp_path: Path) -> None:
    pq.write_table(pairs_table(4), tmp_path / "a.parquet")
    pq.write_table(pairs_table(3), tmp_path / "b.parquet")
    parts = [load_pairs(tmp_path, "train", COLLATE, part=(rank, 2))["z_q"][:, 0].tolist() for rank in range(2)]
    assert parts == [[0, 6, 3], [3, 0]]
    assert load_pairs(tmp_path, "train", COLLATE, num_rows=2)["z_q"][:, 0].tolist() == [0, 3]
    assert load_pairs(tmp_path, "val", COLLATE)["Z"].shape == (2, 2, 3)


def test_permute_rows_keeps_rows_whole_and_permutes_each_set_separately() -> None:
    z_BLD = torch.arange(40 * 4 * 2, dtype=torch.float32).reshape(40, 4, 2)
    permuted_BLD = permute_rows(z_BLD, torch.Generator().manual_seed(0))
    order_BL = (permuted_BLD[:, :, 0] / 2 % 4).long()
    assert torch.equal(permuted_BLD.sort(dim=1).values, z_BLD)
    assert torch.equal(permuted_BLD[:, :, 1], permuted_BLD[:, :, 0] + 1)
    assert len({tuple(order.tolist()) for order in order_BL}) > 10
