"""The denoiser D(z; sigma, z_q): the network, EDM's preconditioning around it, and the anchors it may mix from.

Preconditioning (arXiv 2206.00364, Table 1): D(z; sigma) = c_skip z + c_out F(c_in z; c_noise). If the data have mean
zero and standard deviation sigma_data, the network's input and its training target have unit variance at every sigma.

Anchors are not in arXiv 2603.06397. The training targets are vectors of the catalogue, so D mostly chooses among them.
For rows drawn from known unit vectors a_n with log-prior p_n the Bayes denoiser is
``D(z; sigma) = sum_n w_n a_n`` with ``w = softmax(z . a_n / sigma^2 + p_n)``. The network gives p_n as a sum of three
parts. Two depend on the query and are the same for all rows: a linear map of z_q, and the nearness
``exp(s) cos(z_q, a_n)`` with a learned s. The linear map knows the queries of training; the nearness also holds for
other queries. The third part depends on the row. A gate lets a row keep the network's own estimate, because some rows
are not anchors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from r4t_ray.diffusion.network import SetTransformer
from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig

ANCHOR_WIDTH = 0.02
"""Standard deviation of rows around their anchor. Rows are rounded to float16, so it is above 0; this also keeps the
softmax finite as sigma falls."""
LOGIT_SCALE = 8.0
"""Nats that a unit vector from the row head adds to the logit of an anchor in its direction."""
FIRST_NEARNESS, MOST_NEARNESS = 10.0, 100.0
"""exp(s) at the start of training, and its upper bound: nats that a cosine of 1 with the query adds to a logit."""


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

    ``anchors_ND`` is a buffer of unit rows, saved with the weights. ``log_nearness`` is s.
    """

    anchors_ND: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("anchors_ND", torch.zeros(config.num_anchors, config.dim))
        self.query_prior = nn.Linear(config.dim, config.num_anchors)
        self.row_head = nn.Linear(config.hidden_size, config.dim + 1)
        self.log_nearness = nn.Parameter(torch.tensor(math.log(FIRST_NEARNESS)))
        for linear in (self.query_prior, self.row_head):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def query_logits(self, condition_BD: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        """The part of the logits that depends on the query alone, (B, N).

        Args:
            condition_BD: Query embeddings; the null embedding where a query is dropped.
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the nearness exp(s) cos(z_q, a_n) is left out.
        """
        # Above the bound the gradient of s is 0, so s stays there.
        nearness = self.log_nearness.clamp(max=math.log(MOST_NEARNESS)).exp()
        kept_BD = z_q_BD.masked_fill(is_dropped_B[:, None], 0)
        linear_BN: Tensor = self.query_prior(condition_BD * condition_BD.shape[1] ** 0.5)
        return linear_BN + nearness * (kept_BD @ self.anchors_ND.T)

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

        Args:
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the logits are unconditional.
        """
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
