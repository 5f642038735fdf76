"""The denoiser D(z; sigma, z_q): the network, EDM's preconditioning around it, and the anchors it may mix from.

Preconditioning (arXiv 2206.00364, Table 1): D(z; sigma) = c_skip z + c_out F(c_in z; c_noise). If the data have mean
zero and standard deviation sigma_data, the network's input and its training target have unit variance at every sigma.

Anchors are not in arXiv 2603.06397. The training targets are vectors of the catalogue, so D mostly chooses among them.
For rows drawn from known unit vectors a_n with log-prior p_n the Bayes denoiser is
``D(z; sigma) = sum_n w_n a_n`` with ``w = softmax(z . a_n / sigma^2 + p_n)``. The network gives p_n as a sum of a part
that depends on the query and is the same for all rows, and a part that depends on the row. A gate lets a row keep the
network's own estimate, because some rows are not anchors. There are two kinds of the query's part (``network.prior``):

- linear: a linear map of z_q, and the nearness ``exp(s) cos(z_q, a_n)`` with a learned s.
- nearness: ``exp(s) (cos(z_q, a_n) - v h_n) + b_n`` with learned s, v and b_n. h_n is the hubness of an anchor: its
  mean nearness to the training queries (``training.anchors.hubness``). Anchors near every query (hubs) lose by it.
  There is no linear map, because a map to all entries of a pool learns the training queries by heart. Where training
  queries have known relevant entries, these are mixed in (``memory``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from r4t_ray.diffusion.memory import Memory
from r4t_ray.diffusion.network import SetTransformer
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig

ANCHOR_WIDTH = 0.02
"""Standard deviation of rows around their anchor. Rows are rounded to float16, so it is above 0; this also keeps the
softmax finite as sigma falls."""
LOGIT_SCALE = 8.0
"""Nats that a unit vector from the row head adds to the logit of an anchor in its direction."""
FIRST_NEARNESS, MOST_NEARNESS = 10.0, 100.0
"""exp(s) at the start of training, and its upper bound: nats that a cosine of 1 with the query adds to a logit."""
FIRST_HUB_SHARE = 0.5
"""v at the start of training: share of an anchor's hubness that is taken from its cosine to the query."""


def c_skip(sigma_B: Tensor, sigma_data: float) -> Tensor:
    """Share of the noisy input in D: sd^2 / (sigma^2 + sd^2), sd = sigma_data. 1 without noise, 0 in pure noise."""
    return sigma_data**2 / (sigma_B**2 + sigma_data**2)


def c_out(sigma_B: Tensor, sigma_data: float) -> Tensor:
    """Scale of the network's output: sigma sd / sqrt(sigma^2 + sd^2)."""
    return sigma_B * sigma_data / (sigma_B**2 + sigma_data**2).sqrt()


def c_in(sigma_B: Tensor, sigma_data: float) -> Tensor:
    """Scale of the network's input: 1 / sqrt(sigma^2 + sd^2)."""
    return 1 / (sigma_B**2 + sigma_data**2).sqrt()


def c_noise(sigma_B: Tensor) -> Tensor:
    """The noise level as the network sees it: ln(sigma) / 4. Not defined at sigma = 0."""
    return sigma_B.log() / 4


class AnchorMixture(nn.Module):
    """D' = (1 - g) D + g sum_n w_n a_n, with one gate g per row.

    ``anchors_ND`` (unit rows) and ``hubness_N`` are buffers, saved with the weights. ``log_nearness`` is s,
    ``hub_share`` is v, and ``bias_N`` holds b_n.
    """

    anchors_ND: Tensor
    hubness_N: Tensor
    memory: Memory | None

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.prior = config.prior
        self.register_buffer("anchors_ND", torch.zeros(config.num_anchors, config.dim))
        self.row_head = nn.Linear(config.hidden_size, config.dim + 1)
        nn.init.zeros_(self.row_head.weight)
        nn.init.zeros_(self.row_head.bias)
        self.log_nearness = nn.Parameter(torch.tensor(math.log(FIRST_NEARNESS)))
        if self.prior == "linear":
            self.query_prior = nn.Linear(config.dim, config.num_anchors)
            nn.init.zeros_(self.query_prior.weight)
            nn.init.zeros_(self.query_prior.bias)
        else:
            self.register_buffer("hubness_N", torch.zeros(config.num_anchors))
            self.hub_share = nn.Parameter(torch.tensor(FIRST_HUB_SHARE))
            self.bias_N = nn.Parameter(torch.zeros(config.num_anchors))
        self.memory = Memory(config) if config.num_keys else None

    @torch.no_grad()
    def keep_in_bounds(self) -> None:
        """Set exp(s) to at most MOST_NEARNESS; called after each update, so that the gradient of s never vanishes."""
        self.log_nearness.clamp_(max=math.log(MOST_NEARNESS))

    def nearness(self, z_q_BD: Tensor) -> Tensor:
        """How near each anchor is to the query, (B, N): exp(s) cos(z_q, a_n), with a memory ln p of these logits."""
        cos_BN = z_q_BD @ self.anchors_ND.T
        near_BN = self.log_nearness.exp() * cos_BN
        return near_BN if self.memory is None else self.memory(z_q_BD, cos_BN, near_BN)

    def query_logits(self, condition_BD: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """The part of the logits that depends on the query alone, (B, N).

        Args:
            condition_BD: Query embeddings; the null embedding where a query is dropped.
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the nearness, with the hubness and the memory, is left out.
        """
        near_BN = cos_BN = z_q_BD @ self.anchors_ND.T
        if self.prior == "linear":
            other_BN: Tensor = self.query_prior(condition_BD * condition_BD.shape[1] ** 0.5)
        else:
            near_BN, other_BN = cos_BN - self.hub_share * self.hubness_N, self.bias_N
        logits_BN = other_BN + (self.log_nearness.exp() * near_BN).masked_fill(is_dropped_B[:, None], 0)
        if self.memory is None:
            return logits_BN
        return torch.where(is_dropped_B[:, None], logits_BN, self.memory(z_q_BD, cos_BN, logits_BN))

    def logits(self, z_BLD: Tensor, sigma_B: Tensor, head_BLE: Tensor, query_BN: Tensor) -> Tensor:
        """Logits of w for every row and anchor, (B, L, N).

        Args:
            z_BLD: The noisy rows.
            sigma_B: Noise level of each query.
            head_BLE: The row head's D + 1 outputs.
            query_BN: ``query_logits``.
        """
        toward_BLD = z_BLD / (sigma_B[:, None, None] ** 2 + ANCHOR_WIDTH**2) + LOGIT_SCALE * head_BLE[..., :-1]
        return toward_BLD @ self.anchors_ND.T + query_BN[:, None]

    def forward(
        self, denoised_BLD: Tensor, z_BLD: Tensor, sigma_B: Tensor, hidden_BLH: Tensor, query_BN: Tensor
    ) -> Tensor:
        """Mix the anchors into the network's own estimate.

        Args:
            denoised_BLD: D by the EDM formula.
            z_BLD: The noisy rows.
            sigma_B: Noise level of each query.
            hidden_BLH: The transformer's last hidden rows.
            query_BN: ``query_logits``.

        Returns:
            D', (B, L, D).
        """
        head_BLE = self.row_head(hidden_BLH)
        gate_BL1 = torch.sigmoid(head_BLE[..., -1:] + 2)
        anchored_BLD = self.logits(z_BLD, sigma_B, head_BLE, query_BN).softmax(dim=-1) @ self.anchors_ND
        return (1 - gate_BL1) * denoised_BLD + gate_BL1 * anchored_BLD


class Denoiser(nn.Module):
    """D(z; sigma, z_q), and the logits of the anchors of a network that has them.

    Args:
        network: Shape of the set transformer.
        noise: Range of the noise, and sigma_data.
    """

    def __init__(self, network: NetworkConfig, noise: NoiseConfig) -> None:
        super().__init__()
        self.noise = noise
        self.network = SetTransformer(network)
        self.mixture = AnchorMixture(network) if network.num_anchors else None

    def forward(self, z_BLD: Tensor, sigma_B: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """Estimate the clean rows: D, (B, L, D).

        Args:
            z_BLD: Noisy rows, Z + sigma eps.
            sigma_B: Noise level of each query, above 0.
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the estimate is unconditional.
        """
        sigma_data, sigma_B11 = self.noise.sigma_data, sigma_B[:, None, None]
        condition_BD = self.network.condition(z_q_BD, is_dropped_B)
        hidden_BLH = self.network.hidden_rows(c_in(sigma_B11, sigma_data) * z_BLD, c_noise(sigma_B), condition_BD)
        output_BLD = self.network.rows_out(hidden_BLH)
        denoised: Tensor = c_skip(sigma_B11, sigma_data) * z_BLD + c_out(sigma_B11, sigma_data) * output_BLD
        if self.mixture is None:
            return denoised
        query_BN = self.mixture.query_logits(condition_BD, z_q_BD, is_dropped_B)
        mixed: Tensor = self.mixture(denoised, z_BLD, sigma_B, hidden_BLH, query_BN)
        return mixed

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """Logits (B, L, N) of each row's anchor; only for a network with anchors.

        Args:
            z_BLD: Noisy rows, Z + sigma eps.
            sigma_B: Noise level of each query, above 0.
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the logits are unconditional.
        """
        assert self.mixture is not None, "a network without anchors has no logits"
        rows_BLD = c_in(sigma_B[:, None, None], self.noise.sigma_data) * z_BLD
        condition_BD = self.network.condition(z_q_BD, is_dropped_B)
        head_BLE = self.mixture.row_head(self.network.hidden_rows(rows_BLD, c_noise(sigma_B), condition_BD))
        query_BN = self.mixture.query_logits(condition_BD, z_q_BD, is_dropped_B)
        return self.mixture.logits(z_BLD, sigma_B, head_BLE, query_BN)

    def prior_logits(self, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """Logits (B, N) of the expected share of a query's rows at each anchor; only for a network with anchors.

        With ``prior: nearness`` they are the query's part of the logits. The row's part at z = 0 is one more map of the
        query, which learns the training queries by heart.

        Args:
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the logits are unconditional.
        """
        if self.mixture is not None and self.mixture.prior == "nearness":
            return self.mixture.query_logits(self.network.condition(z_q_BD, is_dropped_B), z_q_BD, is_dropped_B)
        # Equal rows attend only to copies of themselves, so one row gives the output of all.
        row_B1D = torch.zeros_like(z_q_BD)[:, None]
        sigma_B = torch.full_like(z_q_BD[:, 0], self.noise.sigma_max)
        return self.anchor_logits(row_B1D, sigma_B, z_q_BD, is_dropped_B)[:, 0]


class QueryDenoiser:
    """The conditional denoiser of B queries, as a solver calls it.

    Args:
        denoiser: The network.
        z_q_BD: Unit query embeddings.
    """

    def __init__(self, denoiser: Denoiser, z_q_BD: Tensor) -> None:
        self.denoiser, self.z_q_BD = denoiser, z_q_BD
        self.anchors_ND = None if denoiser.mixture is None else denoiser.mixture.anchors_ND
        num_queries = z_q_BD.shape[0]  # len() would fix the batch of an exported program
        self.is_dropped_B = torch.zeros(num_queries, dtype=torch.bool, device=z_q_BD.device)

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """D(z; sigma, z_q)."""
        denoised_BLD: Tensor = self.denoiser(z_BLD, sigma_B, self.z_q_BD, self.is_dropped_B)
        return denoised_BLD

    def anchor_logits(self, z_BLD: Tensor, sigma_B: Tensor) -> Tensor:
        """The logits of each row's anchor, (B, L, N)."""
        return self.denoiser.anchor_logits(z_BLD, sigma_B, self.z_q_BD, self.is_dropped_B)

    def prior_logits(self) -> Tensor:
        """The logits of the expected share of the rows at each anchor, (B, N)."""
        return self.denoiser.prior_logits(self.z_q_BD, self.is_dropped_B)

    def nearness(self) -> Tensor:
        """The nearness of each anchor to the query, (B, N)."""
        assert self.denoiser.mixture is not None, "a network without anchors has no nearness"
        return self.denoiser.mixture.nearness(self.z_q_BD)
