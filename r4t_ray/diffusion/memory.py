"""What a retriever remembers: training queries whose relevant entries are known, such as those of a query log.

Not in arXiv 2603.06397. The words of a query say little about entries of other words ("a cold night" and soup). Similar
queries with known answers say more. The anchors' shares are a mixture, as in the language models of arXiv 1911.00172::

    p(n | z) = a(z) p_memory(n | z) + (1 - a(z)) p_network(n | z)
    p_memory(n | z) = sum over the nearest keys t of w_t [n in R_t] / |R_t|,  w = softmax(cos(z, k_t) / tau)
    a(z) = sigmoid(c (a_0 + a_1 (max_t cos(z, k_t) - m) + a_2 (max_n cos(z, a_n) - m)))

k_t is the embedding of query t, and R_t holds the anchors of its relevant entries. tau, a_0, a_1 and a_2 are learned: a
query that is like a known query takes more from the memory, and one that is like an entry takes less. In training a
query does not see its own key.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from r4t_ray.diffusion.settings import NetworkConfig

NEIGHBOURS = 40
"""Most keys that vote."""
FIRST_TEMPERATURE = 0.05
"""tau at the start of training, as a difference of cosines."""
TRUST_SCALE = 50.0
"""c: nats for each unit of the sum in a(z)."""
MIDDLE = 0.6
"""m: a cosine between those of unlike and of like texts."""
OWN = 0.999
"""Cosine from which a key counts as the query's own; both are rounded to float16."""
HIDDEN = -2.0
"""Stands for the cosine to a query's own key in training: below every cosine, so that other keys outvote it."""
NO_ENTRY = -1
"""Fills the rows of ``entries_TR``."""
LEAST_SHARE = 1e-9
"""Share of an anchor that no key votes for. It keeps the logarithm finite."""


class Memory(nn.Module):
    """The keys of T training queries and up to R relevant anchors of each.

    ``keys_TD`` (unit rows) and ``entries_TR`` (numbers of anchors, NO_ENTRY at the end of a row) are buffers, saved
    with the weights. ``log_temperature`` is ln tau, and ``trust_3`` holds a_0, a_1 and a_2.
    """

    keys_TD: Tensor
    entries_TR: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("keys_TD", torch.zeros(config.num_keys, config.dim))
        entries_TR = torch.full((config.num_keys, config.num_key_entries), NO_ENTRY, dtype=torch.int32)
        self.register_buffer("entries_TR", entries_TR)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(FIRST_TEMPERATURE)))
        self.trust_3 = nn.Parameter(torch.zeros(3))

    def forward(self, z_q_BD: Tensor, cos_BN: Tensor, logits_BN: Tensor) -> Tensor:
        """The logarithm of p(n | z), (B, N).

        Args:
            z_q_BD: Unit query embeddings.
            cos_BN: Their cosines to the anchors.
            logits_BN: The network's logits of the anchors.
        """
        cos_BT = z_q_BD @ self.keys_TD.T
        if self.training:
            cos_BT = cos_BT.masked_fill(cos_BT > OWN, HIDDEN)
        cos_BK, key_BK = cos_BT.topk(min(NEIGHBOURS, self.keys_TD.shape[0]))
        entry_BKR = self.entries_TR[key_BK].long()
        is_entry_BKR = entry_BKR != NO_ENTRY
        weight_BK = (cos_BK / self.log_temperature.exp()).softmax(dim=1) / is_entry_BKR.sum(dim=2)
        vote_BV = (weight_BK[:, :, None] * is_entry_BKR).flatten(1).to(logits_BN.dtype)
        share_BN = torch.zeros_like(logits_BN).scatter_add(1, entry_BKR.clamp_min(0).flatten(1), vote_BV)
        first, like_key, like_entry = self.trust_3.unbind()
        nearest_B1 = cos_BN.amax(dim=1, keepdim=True)
        trust_B1 = TRUST_SCALE * (first + like_key * (cos_BK[:, :1] - MIDDLE) + like_entry * (nearest_B1 - MIDDLE))
        known_BN = logsigmoid(trust_B1) + share_BN.clamp_min(LEAST_SHARE).log()
        network_BN = logits_BN.log_softmax(dim=1)
        mixed_BN = torch.logaddexp(known_BN, logsigmoid(-trust_B1) + network_BN)
        return torch.where(cos_BK[:, :1] > HIDDEN, mixed_BN, network_BN)  # no key but its own: nothing is known
