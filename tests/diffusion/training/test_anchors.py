from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from r4t_ray.diffusion.denoiser import ANCHOR_WIDTH
from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.diffusion.training.anchors import (
    anchor_numbers,
    choose_anchors,
    commonest_rows,
    distinct_rows,
    hubness,
    prior_loss,
)

CONFIG = NetworkConfig(
    num_rows=2, dim=2, hidden_size=4, mlp_size=4, num_heads=2, num_layers=1, noise_dim=4, num_anchors=2
)


def write_targets(folder: Path) -> None:
    """Pairs of two rows each, of which the first is the commonest anchor."""
    rows = [[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.6, 0.8]]
    table = pa.table({"split": ["train", "train"], "Z": pa.array(rows, pa.list_(pa.float16(), 4))})
    pq.write_table(table, folder / "pairs.parquet")


@pytest.mark.parametrize(("batch_size", "is_pool"), [(8_000_000, True), (8_000_001, False)])
def test_the_pool_is_the_anchors_while_its_logits_fit_into_256_mb(
    tmp_path: Path, batch_size: int, is_pool: bool
) -> None:
    """8,000,000 x 2 rows x 4 distinct entries x 4 bytes = 256 MB; a pool's second copy of an entry takes no memory."""
    write_targets(tmp_path)
    pool_MD = np.array([[0, 1], [1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    anchors_ND = choose_anchors(tmp_path, CONFIG, pool_MD, batch_size)
    if is_pool:
        assert anchors_ND.tolist() == [[0, 1], [1, 0], [-1, 0], [0, -1]]
    else:
        assert anchors_ND.tolist() == [[1, 0], [0, 1], [-1, 0]]  # two target rows, the commoner first, then the pool


def test_a_task_without_a_pool_takes_target_rows(tmp_path: Path) -> None:
    write_targets(tmp_path)
    assert np.array_equal(choose_anchors(tmp_path, CONFIG, None, 1), commonest_rows(tmp_path, CONFIG))


def test_hubness_is_the_mean_nearness_to_the_queries() -> None:
    anchors_ND = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    query_emb_BD = np.array([[1, 0], [0.6, 0.8]], np.float32)
    near_NB = np.array([[1, 0.6], [0, 0.8], [-1, -0.6]])
    expected_N = np.log(np.exp(10 * near_NB).mean(axis=1)) / 10
    assert np.abs(hubness(anchors_ND, query_emb_BD) - expected_N).max() < 1e-6
    assert np.abs(hubness(anchors_ND, np.tile(query_emb_BD, (80, 1))) - expected_N).max() < 1e-6  # several blocks


def test_distinct_rows_keep_their_order() -> None:
    rows_MD = np.array([[3, 1], [1, 2], [3, 1], [0, 5], [1, 2]], np.float32)
    assert distinct_rows(rows_MD).tolist() == [[3, 1], [1, 2], [0, 5]]


def test_the_commonest_rows_of_the_training_split(tmp_path: Path) -> None:
    rows = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.6, 0.8]}
    targets = [("train", "ab"), ("train", "ca"), ("val", "cc"), ("train", "ba"), ("val", "cc")]
    table = pa.table(
        {
            "split": [split for split, _ in targets],
            "Z": pa.array([rows[x] + rows[y] for _, (x, y) in targets], pa.list_(pa.float16(), 4)),
        }
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    two = commonest_rows(tmp_path, CONFIG)
    assert np.abs(two - [rows["a"], rows["b"]]).max() < 1e-3
    every = commonest_rows(tmp_path, CONFIG.model_copy(update={"num_anchors": 9}))
    assert every.shape == (3, 2)
    assert np.linalg.norm(every, axis=1) == pytest.approx(1.0)


def test_a_row_gets_the_anchor_within_the_anchor_width_or_none() -> None:
    """Two anchor widths are too far. Rounding to float16 keeps a row within the width of its anchor."""
    stored_D = torch.tensor([0.6, 0.8]).half().float()
    rows_BLD = torch.stack([torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2 * ANCHOR_WIDTH]), stored_D])[None]
    assert anchor_numbers(rows_BLD, torch.eye(2)).tolist() == [[1, -1, -1]]
    assert anchor_numbers(rows_BLD, torch.tensor([[0.6, 0.8], [1.0, 0.0]])).tolist() == [[-1, -1, 0]]


def test_prior_loss_by_hand() -> None:
    """Shares (1/4, 3/4) and (1/2, 1/2) of two queries, of weights 1 and 3; the row without an anchor counts 0."""
    prior_BN = torch.tensor([[0.0, np.log(3.0)], [7.0, 7.0]])
    weight_B = torch.tensor([1.0, 3.0])
    loss = prior_loss(prior_BN, torch.tensor([[0, 1], [1, -1]]), weight_B)
    assert float(loss) == pytest.approx((np.log(4) + np.log(4 / 3) + 3 * np.log(2)) / 4)
    assert float(prior_loss(prior_BN, torch.full((2, 2), -1), weight_B)) == 0
