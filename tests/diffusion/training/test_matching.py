from __future__ import annotations

from itertools import permutations

import torch

from r4t_ray.diffusion.training.matching import match_rows


def test_the_permutation_is_the_best_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    target_BLD, eps_BLD = torch.randn(6, 4, 3, generator=generator), torch.randn(6, 4, 3, generator=generator)
    matched_BLD = match_rows(target_BLD, eps_BLD)
    for target_LD, matched_LD, eps_LD in zip(target_BLD, matched_BLD, eps_BLD, strict=True):
        gains = {order: float((target_LD[list(order)] * eps_LD).sum()) for order in permutations(range(4))}
        assert torch.equal(matched_LD, target_LD[list(max(gains, key=lambda order: gains[order]))])


def test_the_order_of_the_target_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    target_BLD, eps_BLD = torch.randn(2, 5, 3, generator=generator), torch.randn(2, 5, 3, generator=generator)
    assert torch.equal(match_rows(target_BLD, eps_BLD), match_rows(target_BLD[:, [4, 2, 0, 1, 3]], eps_BLD))
