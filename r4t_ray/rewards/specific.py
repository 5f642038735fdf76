"""A reward of open-ended abstract retrieval (OAR) that is about the query: no constant answer scores well on it.

R = (1/k sum over i of s_i) (Vendi / k)^gamma with s_i = g_i p_i. Direction i has the nearest pool entry c_i.

- g_i = clip(1 - |e_i - c_i|, 0, 1) is the groundedness of the direction (eq. 3 of arXiv 2603.06397).
- p_i = exp(cos(c_i, q)/tau) / (exp(cos(c_i, q)/tau) + sum over negatives q' of exp(cos(c_i, q')/tau)) is the nearness
  of the entry to the query: the probability that InfoNCE gives the query among other training queries.
- Vendi is the Vendi score of the entries c_i (eq. 2).

A missing direction has s_i = 0 and lowers Vendi (``vendi_scores_of_k``), so it never raises R. Sources: InfoNCE as a
reward (arXiv 2402.13936), the Vendi score weighted by quality (2405.02449), quality times diversity (2509.02534).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from r4t_ray.config import Settings
from r4t_ray.measures import groundedness, unit_distance, vendi_scores_of_k
from r4t_ray.rewards.answers import Answers
from r4t_ray.types import Array

ENTRIES_A_BLOCK = 4096
"""Entries whose cosines to all training queries are held at a time."""

_logger = logging.getLogger(__name__)


class SpecificConfig(Settings):
    """The reward that is about the query. A constant answer scores low on it."""

    type: Literal["specific"] = Field(
        "specific", description="Selects the reward that compares each found entry with the query and with others."
    )
    tau: PositiveFloat = Field(
        0.05,
        description="Temperature of the softmax over the query and its negatives. A lower value asks for entries that "
        "are closer to the query than to any negative.",
    )
    gamma: NonNegativeFloat = Field(
        0.5,
        description="Exponent of diversity. 0.25 gives answers nearer to the query, 1 more diverse ones, and 0 leaves "
        "diversity out.",
    )
    num_negatives: PositiveInt = Field(
        64,
        description="Training queries that an entry is compared with. They depend on the id of the query alone. A "
        "smaller catalogue gives fewer.",
    )
    max_cosine: float = Field(
        0.7,
        gt=-1.0,
        le=1.0,
        description="Largest cosine between a query and its negatives. Training queries nearer to it are not taken, "
        "because they may ask for the same entries. Lower it if many queries are near-duplicates.",
    )


@dataclass(frozen=True, kw_only=True)
class SpecificReward:
    """The reward with its settings and the training queries from which negatives are drawn.

    Attributes:
        config: The settings.
        train_ids: Ids of the training queries.
        train_emb_ND: Their unit embeddings.
    """

    config: SpecificConfig
    train_ids: Sequence[str]
    train_emb_ND: Array

    def __call__(self, answers: Answers) -> dict[str, Array]:
        """Mean groundedness, mean nearness, Vendi / k and the reward "specific" of each answer, (B,) each."""
        retrieved = answers.retrieved
        nearness_Bk = np.zeros(retrieved.nearest_cos_Bk.shape, np.float32)
        rows_of: dict[str, list[int]] = {}
        for b, query_id in enumerate(answers.query_ids):
            rows_of.setdefault(query_id, []).append(b)
        for query_id, rows in rows_of.items():
            nearness_Bk[rows] = self.nearness(
                query_id, retrieved.query_emb_BD[rows[0]], retrieved.nearest_emb_BkD[rows]
            )
        return specific_components(
            retrieved.nearest_cos_Bk, retrieved.nearest_emb_BkD, nearness_Bk, gamma=self.config.gamma
        )

    def nearness(self, query_id: str, query_emb_D: Array, entry_emb_BkD: Array) -> Array:
        """The nearness p of entries to one query; the last axis of ``entry_emb_BkD`` is D, and any others remain."""
        return nearness(entry_emb_BkD, query_emb_D, self.negatives(query_id, query_emb_D), self.config.tau)

    def negatives(self, query_id: str, query_emb_D: Array) -> Array:
        """Embeddings of at most ``num_negatives`` training queries, (N, D); see ``negative_rows``."""
        return self.train_emb_ND[self.negative_rows(query_id, query_emb_D)]

    def negative_rows(self, query_id: str, query_emb_D: Array) -> list[int]:
        """Positions of the negatives among the training queries, drawn by the hash of ``query_id``.

        The query itself and training queries with a cosine above ``max_cosine`` are left out. If an encoder gives
        nearly all texts such a cosine, the least similar training queries are taken, at most half of them.
        """
        order_N = np.random.default_rng(_hash(query_id)).permutation(len(self.train_ids))
        cos_N = self.train_emb_ND @ query_emb_D
        least = min(self.config.num_negatives, len(cos_N) // 2)
        most_cosine = self.config.max_cosine
        if least and (needed := float(np.partition(cos_N, least - 1)[least - 1])) > most_cosine:
            _warn_of_similar_queries(most_cosine)
            most_cosine = needed
        far = order_N[cos_N[order_N] <= most_cosine][: self.config.num_negatives + 1]  # at most one is the query itself
        return [n for n in far.tolist() if self.train_ids[n] != query_id][: self.config.num_negatives]

    def mean_nearness(self, entry_emb_MD: Array) -> Array:
        """The mean of ``nearness`` over all training queries for each entry, float32 (M,); zeros without any query."""
        num_queries = len(self.train_ids)
        if not num_queries:
            return np.zeros(len(entry_emb_MD), np.float32)
        rows = [self.negative_rows(*one) for one in zip(self.train_ids, self.train_emb_ND, strict=True)]
        ends = np.cumsum([0, *map(len, rows)])
        negatives_QQ = csr_array(
            (np.ones(ends[-1]), np.concatenate(rows).astype(np.int64), ends), (num_queries, num_queries)
        )
        mean_M = np.empty(len(entry_emb_MD), np.float32)
        for start in range(0, len(entry_emb_MD), ENTRIES_A_BLOCK):
            block = slice(start, start + ENTRIES_A_BLOCK)
            cos_MQ = entry_emb_MD[block].astype(np.float64) @ self.train_emb_ND.T.astype(np.float64)
            # Below tau = 0.002 the smallest terms are 0 in float64, which changes no share of a query that matters.
            exp_MQ = np.exp((cos_MQ - cos_MQ.max(axis=1, keepdims=True)) / self.config.tau)
            others_MQ = (negatives_QQ @ exp_MQ.T).T
            total_MQ = exp_MQ + others_MQ
            mean_M[block] = np.divide(exp_MQ, total_MQ, out=np.zeros_like(total_MQ), where=total_MQ > 0).mean(axis=1)
        return mean_M


@cache
def _warn_of_similar_queries(max_cosine: float) -> None:
    """Say it once for each setting in a process."""
    _logger.warning(
        "reward.oar: fewer training queries than num_negatives have a cosine of at most max_cosine = %g to a query. "
        "The least similar ones are its negatives. Raise max_cosine if the encoder gives all texts high cosines",
        max_cosine,
    )


def nearness(entry_emb_MD: Array, query_emb_D: Array, negative_emb_ND: Array, tau: float) -> Array:
    """The probability p of the query among its negatives, by InfoNCE, for every entry.

    Args:
        entry_emb_MD: Unit rows with any leading axes.
        query_emb_D: A unit vector.
        negative_emb_ND: Unit rows. Without any, every p is 1.
        tau: Temperature of the softmax.

    Returns:
        ``entry_emb_MD`` without its last axis, float32 in 0..1.

    >>> nearness(np.eye(2), np.eye(2)[0], np.eye(2)[:1], tau=0.5).tolist()
    [0.5, 0.5]
    """
    cos_M = entry_emb_MD.astype(np.float64) @ query_emb_D
    excess_MN = (entry_emb_MD.astype(np.float64) @ negative_emb_ND.T.astype(np.float64) - cos_M[..., None]) / tau
    # The query has logit 0 after subtraction. The largest logit is subtracted, so that no exponential overflows.
    largest_M = np.maximum(excess_MN.max(axis=-1, initial=0.0), 0.0)
    others_M = np.exp(excess_MN - largest_M[..., None]).sum(axis=-1)
    return (np.exp(-largest_M) / (np.exp(-largest_M) + others_M)).astype(np.float32)


def specific_components(
    nearest_cos_Bk: Array, nearest_emb_BkD: Array, nearness_Bk: Array, *, gamma: float
) -> dict[str, Array]:
    """The reward and its parts from what the directions found, (B,) each.

    Args:
        nearest_cos_Bk: Cosine between each direction and its nearest entry; NaN marks a missing direction.
        nearest_emb_BkD: Embedding of that entry; zeros for a missing direction.
        nearness_Bk: The nearness p of that entry. It is not read for a missing direction.
        gamma: Exponent of diversity.
    """
    k = nearest_cos_Bk.shape[1]
    is_present_Bk = np.isfinite(nearest_cos_Bk)
    grounded_Bk = np.where(is_present_Bk, np.clip(1.0 - unit_distance(nearest_cos_Bk), 0.0, 1.0), 0.0)
    near_Bk = np.where(is_present_Bk, nearness_Bk, 0.0)
    vendi_B = vendi_scores_of_k(nearest_emb_BkD) / k
    return {
        "groundedness": groundedness(nearest_cos_Bk),
        "nearness": near_Bk.mean(axis=1).astype(np.float32),
        "vendi": vendi_B,
        "specific": ((grounded_Bk * near_Bk).mean(axis=1) * vendi_B**gamma).astype(np.float32),
    }


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
