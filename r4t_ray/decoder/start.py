"""The numbers from which the decoder's training starts, in closed form."""

from __future__ import annotations

import numpy as np

from r4t_ray.decoder.examples import Examples
from r4t_ray.types import Array

FIRST_SHARED = 10.0
"""Nats that a cosine of 1 between query and item adds to the item's score at the start: A = 10 I."""
DAMPING = 4.0
"""Factor of the penalty in the closed form. With 1 the step overshoots, because the shares of a query differ."""


def popularity(examples: Examples) -> Array:
    """Share p_i of each item in the reference sets, shape (M,), smoothed by half a member of an average item."""
    held_M = np.bincount(examples.rows_N, weights=examples.share_N, minlength=examples.num_items)
    smoothed_M = held_M + 0.5 / examples.num_items
    return (smoothed_M / smoothed_M.sum()).astype(np.float32)


def first_bias(examples: Examples) -> Array:
    """b_i = ln p_i minus its mean over the items of training sets, shape (M,); 0 for the other items."""
    log_M, seen_M = np.log(popularity(examples)), examples.seen_M
    return np.where(seen_M, log_M - log_M.mean(where=seen_M) if seen_M.any() else 0.0, 0.0).astype(np.float32)


def first_own(examples: Examples, penalty: float) -> Array:
    """u_i of a ridge regression for each item, shape (M, D); zero rows for items of no training set.

    u_i = (p_i Z'Z + 2 lambda I)^-1 (sum over q of (y_qi - p_i) z_q). Z holds the queries' embeddings, y_qi is 1/|Y|
    for a member, and lambda is DAMPING times the penalty. It is one damped Newton step from u_i = 0 for the loss of the
    training, summed over the queries, if every score is ln p_i. The penalty weighs less on a frequent item.

    Args:
        examples: The training sets.
        penalty: Factor of ||u_i||^2 in the sum over all queries.
    """
    z_SD, share_M = examples.z_q_SD.astype(np.float64), popularity(examples).astype(np.float64)
    held_MD = np.zeros((examples.num_items, z_SD.shape[1]))
    np.add.at(held_MD, examples.rows_N, z_SD[examples.queries_N] * examples.share_N[:, None])
    gradient_MD = held_MD - share_M[:, None] * z_SD.sum(axis=0)
    eigenvalues_D, axes_DD = np.linalg.eigh(z_SD.T @ z_SD)
    curvature_MD = share_M[:, None] * eigenvalues_D.clip(min=0.0) + 2 * DAMPING * penalty
    own_MD = ((gradient_MD @ axes_DD) / curvature_MD) @ axes_DD.T
    own_MD[~examples.seen_M] = 0.0
    return own_MD.astype(np.float32)
