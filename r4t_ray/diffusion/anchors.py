"""Denoising towards known rows: where targets are a catalogue's own vectors, most of D is a choice among them.

Not in arXiv 2603.06397. For rows drawn from known unit vectors a_n with log-prior p_n the Bayes denoiser is
``D(z; sigma) = sum_n w_n a_n`` with ``w = softmax(z . a_n / sigma^2 + p_n)``. The network supplies p_n, in a part from
the query that all rows share and a part of each row's own, and a gate for rows that are no anchor.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import torch
from torch import Tensor, nn

from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.types import Array

WIDTH = 0.02
"""Deviation that every anchor has of its own: rows are stored as float16, and softmax stays finite as sigma falls."""
LOGIT_SCALE = 8.0
"""A unit vector emitted by the row head prefers the anchor it points to by this many nats."""


class AnchorMixture(nn.Module):
    """D' = (1 - g) D + g sum_n w_n a_n, with a gate g a row. ``anchors_ND`` is a buffer, saved with the weights."""

    anchors_ND: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("anchors_ND", torch.zeros(config.num_anchors, config.dim))
        self.query_prior = nn.Linear(config.dim, config.num_anchors)
        self.row_head = nn.Linear(config.hidden, config.dim + 1)
        for linear in (self.query_prior, self.row_head):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def logits(self, z_BLD: Tensor, sigma_B: Tensor, head_BLE: Tensor, z_q_BD: Tensor) -> Tensor:
        """Logits of w, every anchor for every row, (B, L, N); ``head_BLE`` is the row head's D + 1 outputs."""
        toward_BLD = z_BLD / (sigma_B[:, None, None] ** 2 + WIDTH**2) + LOGIT_SCALE * head_BLE[..., :-1]
        prior_BN = self.query_prior(z_q_BD * z_q_BD.shape[1] ** 0.5)
        return toward_BLD @ self.anchors_ND.T + prior_BN[:, None]

    def forward(
        self, denoised_BLD: Tensor, z_BLD: Tensor, sigma_B: Tensor, hidden_BLH: Tensor, z_q_BD: Tensor
    ) -> Tensor:
        """Mix the anchors into the network's own estimate.

        Args:
            denoised_BLD: D by the EDM formula.
            z_BLD: The noisy rows.
            sigma_B: Noise level of each query.
            hidden_BLH: The transformer's last hidden rows.
            z_q_BD: The queries, the null embedding where dropped.
        """
        head_BLE = self.row_head(hidden_BLH)
        gate_BL1 = torch.sigmoid(head_BLE[..., -1:] + 2)
        anchored_BLD = self.logits(z_BLD, sigma_B, head_BLE, z_q_BD).softmax(dim=-1) @ self.anchors_ND
        return (1 - gate_BL1) * denoised_BLD + gate_BL1 * anchored_BLD


def anchor_numbers(rows_BLD: Tensor, anchors_ND: Tensor) -> Tensor:
    """Which anchor each row is, int64 (B, L); -1 where none lies within ``WIDTH``."""
    # As one matrix: a batched cdist copies the anchors for every set.
    distance_M, number_M = torch.cdist(rows_BLD.flatten(0, 1), anchors_ND).min(dim=-1)
    return number_M.masked_fill(distance_M > WIDTH, -1).view(rows_BLD.shape[:2])


def prior_loss(prior_BN: Tensor, number_BL: Tensor, weight_B: Tensor) -> Tensor:
    """Mean over all rows of -weight ln softmax(prior)[anchor], which is 0 for a row that is no anchor.

    Over all of them, B L, so that the mean over workers' equal shares of a batch is that of the batch.

    Args:
        prior_BN: ``DiffusionRetriever.prior_logits``.
        number_BL: ``anchor_numbers`` of the targets.
        weight_B: How often each pair counts, 1 on average.
    """
    is_anchor_BL = number_BL >= 0
    log_share_BL = prior_BN.log_softmax(dim=-1).gather(1, number_BL.clamp_min(0))
    return -(weight_B[:, None] * log_share_BL * is_anchor_BL).mean()


def commonest_rows(pairs_folder: Path, config: NetworkConfig) -> Array:
    """The ``num_anchors`` rows that most training targets hold, or all of them where there are fewer.

    Returns:
        float32 unit rows, (N, D); ties go to the row met first.
    """
    counts: Counter[bytes] = Counter()
    pairs = pads.dataset(pairs_folder, format="parquet").scanner(
        columns=["Z"], filter=pads.field("split") == "train", batch_size=4096
    )
    for batch in pairs.to_batches():
        rows = batch.column("Z").flatten().to_numpy(zero_copy_only=False).astype(np.float16).reshape(-1, config.dim)
        counts.update(row.tobytes() for row in rows)
    common = [np.frombuffer(row, np.float16) for row, _ in counts.most_common(config.num_anchors)]
    anchors_ND = np.stack(common).astype(np.float32)
    return anchors_ND / np.linalg.norm(anchors_ND, axis=1, keepdims=True)
