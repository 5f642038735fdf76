"""The score of every item for a query and its directions, in numpy.

    s_i = e_i' A z_q + beta max_j cos(z_j, e_i) + rho_i (u_i' z_q + b_i)

e_i is the item's embedding, z_q the query's, and z_j are the directions. A is shared by all items. u_i and b_i belong
to item i. rho_i is 1 for an item of a training set and 0 for every other item, such as a new entry. So every item is a
candidate, and an item that no training set holds is scored by its embedding alone. beta is at least 0.

s_i is the largest inner product over j of [e_i; rho_i u_i; rho_i b_i] with [A z_q + beta z_j; z_q; 1]. So an index of
inner products over the first vectors finds the items with the largest scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from r4t_ray.types import Array


@dataclass(frozen=True, kw_only=True)
class QueryDecoder:
    """The numbers of the decoder that make the vectors of a query.

    Attributes:
        shared_DD: A.
        beta: Weight of the nearest direction, at least 0.
    """

    shared_DD: Array
    beta: float

    def query_vectors(self, z_q_D: Array, z_kD: Array) -> Array:
        """[A z_q + beta z_j; z_q; 1] of each direction, shape (k, 2D+1).

        Args:
            z_q_D: Unit embedding of the query.
            z_kD: Its directions, unit rows.
        """
        scored_kD = self.shared_DD @ z_q_D + np.float32(self.beta) * z_kD
        return np.concatenate([scored_kD, np.tile(z_q_D, (len(z_kD), 1)), np.ones((len(z_kD), 1))], axis=1).astype(
            np.float32
        )


@dataclass(frozen=True, kw_only=True)
class Decoder(QueryDecoder):
    """All trained numbers of one pool.

    Attributes:
        own_MD: rho_i u_i; zero rows for items of no training set.
        bias_M: rho_i b_i.
    """

    own_MD: Array
    bias_M: Array

    def item_vectors(self, emb_MD: Array) -> Array:
        """[e_i; rho_i u_i; rho_i b_i] of the pool, shape (M, 2D+1)."""
        return np.concatenate([emb_MD, self.own_MD, self.bias_M[:, None]], axis=1)


def new_item_vectors(emb_MD: Array) -> Array:
    """[e_i; 0; 0] of items that no training set holds, shape (M, 2D+1)."""
    return np.pad(emb_MD, ((0, 0), (0, emb_MD.shape[1] + 1)))


def item_scores(decoder: Decoder, emb_MD: Array, z_q_D: Array, z_kD: Array) -> Array:
    """s_i of every item of the pool, shape (M,), term by term. It is the reference of the search.

    >>> eye = np.eye(2, dtype=np.float32)
    >>> decoder = Decoder(shared_DD=2 * eye, own_MD=0 * eye, bias_M=np.float32([0.5, 0]), beta=1.0)
    >>> item_scores(decoder, eye, eye[0], eye[1:]).tolist()
    [2.5, 1.0]
    """
    own_M = decoder.own_MD @ z_q_D + decoder.bias_M
    nearest_M = (z_kD @ emb_MD.T).max(axis=0, initial=-1.0) if decoder.beta else 0.0
    scores_M: Array = emb_MD @ (decoder.shared_DD @ z_q_D) + decoder.beta * nearest_M + own_M
    return scores_M.astype(np.float32)
