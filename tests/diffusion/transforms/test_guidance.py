from __future__ import annotations

import pytest
import torch
from torch import Tensor

from r4t_ray.diffusion.denoiser import QueryDenoiser
from r4t_ray.diffusion.transforms import Guided


class Recorder:
    """A denoiser whose estimate is 10 for dropped queries and z + sigma + z_q otherwise."""

    mixture = None

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def __call__(self, z_BLD: Tensor, sigma_B: Tensor, z_q_BD: Tensor, is_dropped_B: Tensor) -> Tensor:
        self.batch_sizes.append(len(z_BLD))
        conditional = z_BLD + sigma_B[:, None, None] + z_q_BD[:, None, :]
        return torch.where(is_dropped_B[:, None, None], torch.full_like(z_BLD, 10.0), conditional)


@pytest.mark.parametrize("guidance", [0.1, 2.0])
def test_formula(guidance: float) -> None:
    """z = 1, sigma = 2, z_q = 3 and 4: D_c = 6 and 7, D_u = 10, D = (1 + g) D_c - g D_u."""
    recorder = Recorder()
    denoise = Guided(QueryDenoiser(recorder, torch.tensor([[3.0], [4.0]])), guidance)
    guided = denoise(torch.ones(2, 1, 1), torch.tensor([2.0, 2.0])).flatten()
    expected = [(1 + guidance) * 6 - guidance * 10, (1 + guidance) * 7 - guidance * 10]
    assert guided.tolist() == pytest.approx(expected)
    assert recorder.batch_sizes == [4]


def test_no_unconditional_pass_without_guidance() -> None:
    recorder = Recorder()
    denoise = QueryDenoiser(recorder, torch.tensor([[3.0], [4.0]]))
    assert denoise(torch.ones(2, 1, 1), torch.tensor([2.0, 2.0])).flatten().tolist() == [6.0, 7.0]
    assert recorder.batch_sizes == [2]
