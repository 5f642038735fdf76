"""The denoising loss of arXiv 2603.06397, eq. 9."""

from __future__ import annotations

from torch import Tensor


def loss_weight(sigma_B: Tensor, sigma_data: float) -> Tensor:
    """lambda(sigma) = (sigma^2 + sd^2) / (sigma sd)^2 = 1 / c_out^2 (eq. 9). Grows without bound towards sigma = 0."""
    return (sigma_B**2 + sigma_data**2) / (sigma_B * sigma_data) ** 2


def denoising_loss(denoised_BLD: Tensor, target_BLD: Tensor, sigma_B: Tensor, sigma_data: float) -> Tensor:
    """Mean over queries of lambda(sigma) times the mean squared error over rows and columns (eq. 9).

    Eq. 9 sums where this averages, a constant factor L d: an untrained network (F = 0) then scores about 1 whatever
    the shape.

    Args:
        denoised_BLD: D(Z + sigma eps; sigma, z_q).
        target_BLD: Z.
        sigma_B: Noise level of each query, above 0.
        sigma_data: Deviation of the data.

    Returns:
        A scalar.
    """
    squared_error_B = (denoised_BLD - target_BLD).square().mean(dim=(1, 2))
    return (loss_weight(sigma_B, sigma_data) * squared_error_B).mean()
