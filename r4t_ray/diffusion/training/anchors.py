"""The choice of the anchors among the target rows, and the loss of the network's prior over them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import torch
from torch import Tensor

from r4t_ray.diffusion.denoiser import ANCHOR_WIDTH
from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.types import Array


def anchor_numbers(rows_BLD: Tensor, anchors_ND: Tensor) -> Tensor:
    """The number of each row's anchor, int64 (B, L); -1 where no anchor lies within ``ANCHOR_WIDTH``."""
    # All rows in one matrix, because a batched cdist copies the anchors for every set.
    distance_M, number_M = torch.cdist(rows_BLD.flatten(0, 1), anchors_ND).min(dim=-1)
    return number_M.masked_fill(distance_M > ANCHOR_WIDTH, -1).view(rows_BLD.shape[:2])


def prior_loss(prior_BN: Tensor, number_BL: Tensor, weight_B: Tensor) -> Tensor:
    """Mean over all rows of -weight ln softmax(prior)[anchor]; a row that is not an anchor contributes 0.

    The mean is over all B L rows. So the mean over the workers' equal shares of a batch equals the mean of the batch.

    Args:
        prior_BN: ``Denoiser.prior_logits``.
        number_BL: ``anchor_numbers`` of the targets.
        weight_B: Weight of each pair, 1 on average.
    """
    is_anchor_BL = number_BL >= 0
    log_share_BL = prior_BN.log_softmax(dim=-1).gather(1, number_BL.clamp_min(0))
    return -(weight_B[:, None] * log_share_BL * is_anchor_BL).mean()


def commonest_rows(pairs_folder: Path, config: NetworkConfig) -> Array:
    """The ``num_anchors`` most frequent rows of the training targets, or all distinct rows if there are fewer.

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
