"""The training loss: the denoising loss (arXiv 2603.06397, eq. 9) plus the cross-entropy of a query's anchors."""

from __future__ import annotations

from torch import Tensor, nn

from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.training.anchors import anchor_numbers, prior_loss


class SetLoss(nn.Module):
    """Denoising loss plus ``prior_weight`` times ``prior_loss``; a module, so that workers share its gradients.

    Not in arXiv 2603.06397. Far above the data's scale the noisy rows carry no information, and D is the mean of the
    anchors that a query calls for. There are more anchors than dimensions, so the mean does not determine their shares.
    Cross-entropy does, as for categories in arXiv 2211.15089.
    """

    def __init__(self, retriever: DiffusionRetriever, prior_weight: float) -> None:
        super().__init__()
        self.retriever, self.prior_weight = retriever, prior_weight

    def forward(
        self,
        target_BLD: Tensor,
        eps_BLD: Tensor,
        sigma_B: Tensor,
        z_q_BD: Tensor,
        is_dropped_B: Tensor,
        weight_B: Tensor,
    ) -> Tensor:
        """The loss of one batch, a scalar.

        Args:
            target_BLD: Z, unit rows.
            eps_BLD: Standard normal noise.
            sigma_B: Noise level of each query, above 0.
            z_q_BD: Unit query embeddings.
            is_dropped_B: bool; where True the null embedding replaces z_q.
            weight_B: Weight of each pair, 1 on average over the training pairs.
        """
        retriever = self.retriever
        denoised_BLD = retriever(target_BLD + sigma_B[:, None, None] * eps_BLD, sigma_B, z_q_BD, is_dropped_B)
        loss = denoising_loss(denoised_BLD.float(), target_BLD, sigma_B, retriever.noise.sigma_data, weight_B)
        if not self.prior_weight or retriever.mixture is None:
            return loss
        prior_BN = retriever.prior_logits(z_q_BD, is_dropped_B)
        number_BL = anchor_numbers(target_BLD, retriever.mixture.anchors_ND)
        return loss + self.prior_weight * prior_loss(prior_BN.float(), number_BL, weight_B)


def loss_weight(sigma_B: Tensor, sigma_data: float) -> Tensor:
    """lambda(sigma) = (sigma^2 + sd^2) / (sigma sd)^2 = 1 / c_out^2 (eq. 9). Grows without bound towards sigma = 0."""
    return (sigma_B**2 + sigma_data**2) / (sigma_B * sigma_data) ** 2


def denoising_loss(
    denoised_BLD: Tensor, target_BLD: Tensor, sigma_B: Tensor, sigma_data: float, weight_B: Tensor
) -> Tensor:
    """Mean over queries of weight x lambda(sigma) x mean squared error over rows and columns (eq. 9).

    Eq. 9 sums over rows and columns, so it is larger by the constant factor L d. With the mean an untrained network
    (F = 0) has a loss of about 1 for every shape.

    Args:
        denoised_BLD: D(Z + sigma eps; sigma, z_q).
        target_BLD: Z.
        sigma_B: Noise level of each query, above 0.
        sigma_data: Standard deviation of the data.
        weight_B: Weight of each pair, 1 on average.

    Returns:
        A scalar.
    """
    squared_error_B = (denoised_BLD - target_BLD).square().mean(dim=(1, 2))
    return (weight_B * loss_weight(sigma_B, sigma_data) * squared_error_B).mean()
