from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from r4t_ray.diffusion.anchors import WIDTH, AnchorMixture, anchor_numbers, commonest_rows, prior_loss
from r4t_ray.diffusion.retriever import DiffusionRetriever
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.errors import ConfigError

CONFIG = NetworkConfig(num_rows=2, dim=2, hidden=4, mlp=4, num_heads=2, num_layers=1, noise_dim=4, num_anchors=2)


def mixture() -> AnchorMixture:
    torch.manual_seed(0)
    made = AnchorMixture(CONFIG)
    made.anchors_ND.copy_(torch.eye(2))
    return made


@torch.no_grad()
def test_weights_are_the_posterior_by_hand() -> None:
    made = mixture()
    made.query_prior.bias.copy_(torch.tensor([np.log(3.0), 0.0]))
    z_BLD = torch.tensor([[[0.6, 0.2]]])
    sigma = 0.5
    mixed = made(torch.zeros(1, 1, 2), z_BLD, torch.tensor([sigma]), torch.zeros(1, 1, 4), torch.zeros(1, 2))
    # log w: 0.6 / s^2 + ln 3 against 0.2 / s^2, s^2 = sigma^2 + WIDTH^2; the gate starts at sigmoid(2).
    odds = 3.0 * np.exp(0.4 / (sigma**2 + WIDTH**2))
    weights, gate = np.array([odds, 1.0]) / (odds + 1), 1 / (1 + np.exp(-2.0))
    assert np.abs(mixed[0, 0].numpy() - gate * weights).max() < 1e-6


@torch.no_grad()
def test_with_little_noise_a_row_goes_to_its_anchor_and_with_the_gate_shut_stays() -> None:
    made = mixture()
    z_BLD = torch.tensor([[[0.9, 0.1], [0.1, 0.9]]])
    parts = z_BLD, torch.tensor([0.05]), torch.zeros(1, 2, 4), torch.zeros(1, 2)
    made.row_head.bias.copy_(torch.tensor([0.0, 0.0, 20.0]))
    assert float((made(torch.zeros_like(z_BLD), *parts) - torch.eye(2)).abs().max()) < 1e-4
    made.row_head.bias.copy_(torch.tensor([0.0, 0.0, -20.0]))
    denoised_BLD = torch.randn(1, 2, 2)
    assert float((made(denoised_BLD, *parts) - denoised_BLD).abs().max()) < 1e-6


@torch.no_grad()
def test_a_retriever_keeps_its_anchors_on_disk_and_stays_equivariant(tmp_path: Path) -> None:
    torch.manual_seed(0)
    retriever = DiffusionRetriever(CONFIG, NoiseConfig()).eval()
    assert retriever.mixture is not None
    retriever.mixture.anchors_ND.copy_(torch.eye(2))
    for parameter in retriever.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    retriever.save_pretrained(tmp_path)
    loaded = DiffusionRetriever.from_pretrained(tmp_path)
    z_BLD, rest = torch.randn(3, 2, 2), (torch.full((3,), 0.3), torch.randn(3, 2), torch.zeros(3, dtype=torch.bool))
    out_BLD = retriever(z_BLD, *rest)
    assert torch.equal(loaded(z_BLD, *rest), out_BLD)
    assert float((retriever(z_BLD.flip(1), *rest) - out_BLD.flip(1)).abs().max()) < 1e-5


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


@torch.no_grad()
def test_the_likeliest_rows_are_the_anchors_by_their_weight_at_the_highest_noise() -> None:
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"num_anchors": 3})
    retriever = DiffusionRetriever(config, NoiseConfig(sigma_max=1.0), SamplerConfig(solver="likeliest")).eval()
    assert retriever.mixture is not None
    for parameter in retriever.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    anchors_ND = functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=-1)
    retriever.mixture.anchors_ND.copy_(anchors_ND)
    z_q_BD = functional.normalize(torch.randn(5, 2), dim=-1)
    z_BLD = retriever.generate(z_q_BD)
    assert z_BLD.shape == (5, 2, 2)
    # Twice as many rows as are asked for, all at z = 0, through the whole denoiser: one weight an anchor comes back.
    condition_BD, sigma_B = retriever.network.condition(z_q_BD, torch.zeros(5, dtype=torch.bool)), torch.ones(5)
    hidden_BLH = retriever.network.hidden_rows(torch.zeros(5, 4, 2), torch.zeros(5), condition_BD)
    head_BLE = retriever.mixture.row_head(hidden_BLH)
    weights_BLN = retriever.mixture.logits(torch.zeros(5, 4, 2), sigma_B, head_BLE, condition_BD).softmax(dim=-1)
    assert float((weights_BLN - weights_BLN[:, :1]).abs().max()) < 1e-6
    best_B2 = weights_BLN.mean(dim=1).argsort(dim=1, descending=True)[:, :2]
    assert torch.equal(z_BLD, anchors_ND[best_B2])
    retriever.mixture.query_prior.bias.copy_(torch.tensor([0.0, 50.0, 100.0]))
    assert torch.equal(retriever.generate(z_q_BD), anchors_ND[[2, 1]].expand(5, 2, 2))


def test_the_likeliest_rows_need_anchors() -> None:
    retriever = DiffusionRetriever(CONFIG.model_copy(update={"num_anchors": 0}), NoiseConfig())
    with pytest.raises(ConfigError, match="num_anchors set"):
        retriever.generate(torch.eye(2), solver="likeliest")


def test_a_row_is_the_anchor_within_reach_or_none() -> None:
    """Two widths off is too far; float16 keeps a row within reach of the anchor that it was."""
    stored_D = torch.tensor([0.6, 0.8]).half().float()
    rows_BLD = torch.stack([torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2 * WIDTH]), stored_D])[None]
    assert anchor_numbers(rows_BLD, torch.eye(2)).tolist() == [[1, -1, -1]]
    assert anchor_numbers(rows_BLD, torch.tensor([[0.6, 0.8], [1.0, 0.0]])).tolist() == [[-1, -1, 0]]


def test_prior_loss_by_hand() -> None:
    """Shares (1/4, 3/4) and (1/2, 1/2) of two queries, of weights 1 and 3; the row without an anchor counts 0."""
    prior_BN = torch.tensor([[0.0, np.log(3.0)], [7.0, 7.0]])
    weight_B = torch.tensor([1.0, 3.0])
    loss = prior_loss(prior_BN, torch.tensor([[0, 1], [1, -1]]), weight_B)
    assert float(loss) == pytest.approx((np.log(4) + np.log(4 / 3) + 3 * np.log(2)) / 4)
    assert float(prior_loss(prior_BN, torch.full((2, 2), -1), weight_B)) == 0
