"""The choice of the anchors, from the pool or from the target rows, and the loss of the network's prior over them."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import torch
from torch import Tensor

from r4t_ray.diffusion.denoiser import ANCHOR_WIDTH, FIRST_NEARNESS
from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.types import Array

MOST_LOGIT_BYTES = 256_000_000
"""Most bytes of the anchors' logits in one batch of training, float32 (B, L, N), for which the pool is the anchors."""
BYTES_OF_FLOAT = 4
QUERIES_A_BLOCK = 64
"""Queries whose cosines to all anchors are held at a time."""

_logger = logging.getLogger(__name__)


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


def hubness(anchors_ND: Array, query_emb_BD: Array) -> Array:
    """Mean nearness of each anchor to queries, as a cosine: h_n = (1/c) ln mean over b of exp(c cos(z_b, a_n)).

    c = FIRST_NEARNESS. h_n lies between the mean and the largest cosine of an anchor. Subtracted from a cosine it
    compares a query with the others, as the normalisation over queries in an inverted softmax (arXiv 1702.03859).

    Args:
        anchors_ND: Unit rows.
        query_emb_BD: Unit embeddings of training queries.

    Returns:
        float32, (N,).
    """
    exp_N = np.zeros(len(anchors_ND))
    for start in range(0, len(query_emb_BD), QUERIES_A_BLOCK):
        exp_N += np.exp(FIRST_NEARNESS * (anchors_ND @ query_emb_BD[start : start + QUERIES_A_BLOCK].T)).sum(axis=1)
    return np.asarray(np.log(exp_N / len(query_emb_BD)) / FIRST_NEARNESS, np.float32)


def choose_anchors(pairs_folder: Path, config: NetworkConfig, pool_MD: Array | None, batch_size: int) -> Array:
    """The distinct rows of the pool, as many as their logits' memory allows; without a pool the commonest target rows.

    If the memory does not allow all rows of the pool, the commonest target rows come first.

    Args:
        pairs_folder: One task's pairs.
        config: Shape of the network; ``num_anchors`` is the number of target rows.
        pool_MD: Unit rows of the pool; None takes target rows.
        batch_size: Pairs in one update, summed over all workers, so that their number does not change the anchors.

    Returns:
        float32 unit rows, (N, D).
    """
    if pool_MD is None:
        return commonest_rows(pairs_folder, config)
    anchors_ND = distinct_rows(pool_MD)
    most = MOST_LOGIT_BYTES // (batch_size * config.num_rows * BYTES_OF_FLOAT)
    if len(anchors_ND) <= most:
        return anchors_ND
    _logger.warning(
        "train-diffusion: %d of the pool's %d distinct entries (%.0f%%) are anchors, so that a batch's logits take "
        "at most %d MB: the entries that the pairs name most often first. The solver top_anchors finds no other entry. "
        "Lower diffusion.optimizer.batch_size to keep more",
        most, len(anchors_ND), 100 * most / len(anchors_ND), MOST_LOGIT_BYTES // 10**6,
    )  # fmt: skip
    counts = row_counts(pairs_folder, config.dim)
    count_M = np.array([counts[row.tobytes()] for row in anchors_ND.astype(np.float16)])
    return anchors_ND[np.argsort(-count_M, kind="stable")[:most]]


def distinct_rows(rows_MD: Array) -> Array:
    """Each row once, in the order in which it is met first; so top_anchors returns no row twice."""
    first_N = np.unique(rows_MD, axis=0, return_index=True)[1]
    return rows_MD[np.sort(first_N)]


def commonest_rows(pairs_folder: Path, config: NetworkConfig) -> Array:
    """The ``num_anchors`` most frequent rows of the training targets, or all distinct rows if there are fewer.

    Returns:
        float32 unit rows, (N, D); ties go to the row met first.
    """
    counts = row_counts(pairs_folder, config.dim)
    common = [np.frombuffer(row, np.float16) for row, _ in counts.most_common(config.num_anchors)]
    anchors_ND = np.stack(common).astype(np.float32)
    return anchors_ND / np.linalg.norm(anchors_ND, axis=1, keepdims=True)


def row_counts(pairs_folder: Path, dim: int) -> Counter[bytes]:
    """Row of a training target, as the bytes of its float16 numbers -> how often it occurs."""
    counts: Counter[bytes] = Counter()
    pairs = pads.dataset(pairs_folder, format="parquet").scanner(
        columns=["Z"], filter=pads.field("split") == "train", batch_size=4096
    )
    for batch in pairs.to_batches():
        rows = batch.column("Z").flatten().to_numpy(zero_copy_only=False).astype(np.float16).reshape(-1, dim)
        counts.update(row.tobytes() for row in rows)
    return counts
