"""EDM preconditioning (arXiv 2206.00364, Table 1): D(z; sigma) = c_skip z + c_out F(c_in z; c_noise).

With it the network's input and its training target have unit variance at every sigma, for data of deviation
sigma_data around zero.
"""

from __future__ import annotations

from torch import Tensor


def c_skip(sigma_B: Tensor, sigma_data: float) -> Tensor:
    """Share of the noisy input passed on: sd^2 / (sigma^2 + sd^2). 1 without noise, 0 in pure noise."""
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
