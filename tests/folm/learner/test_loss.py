"""Eq. 8 of arXiv 2603.06397 against values computed by hand, and its gradients against finite differences."""

from __future__ import annotations

import math

import torch

from r4t_ray.folm.learner.loss import soft_grpo_loss


def loss(
    logp: torch.Tensor, old: torch.Tensor, adv: torch.Tensor, mask: torch.Tensor, kl: float, ent: float
) -> torch.Tensor:
    return soft_grpo_loss(logp, old, adv, mask, clip_eps=0.2, beta_kl=kl, beta_entropy=ent)


def test_eq_8_by_hand_with_clipping_on_both_sides_and_padding() -> None:
    old = torch.tensor([[-1.0, -1.0, -9.0], [-2.0, -2.0, -2.0]])
    ratios = torch.tensor([[1.5, 0.9, 7.0], [0.5, 1.1, 1.0]])
    logp = old + ratios.log()
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    advantage = torch.tensor([2.0, -1.0])
    # A = 2: ratio 1.5 is clipped to 1.2, 0.9 is kept. A = -1: ratio 0.5 is clipped to 0.8, 1.1 and 1.0 are kept.
    policy = [[-2.4, -1.8], [0.8, 1.1, 1.0]]
    kl = [[1.5 * math.log(1.5), 0.9 * math.log(0.9)], [0.5 * math.log(0.5), 1.1 * math.log(1.1), 0.0]]
    entropy = [[1.0 - math.log(1.5), 1.0 - math.log(0.9)], [2.0 - math.log(0.5), 2.0 - math.log(1.1), 2.0]]
    rows = [
        sum(p + 0.05 * q + 0.03 * e for p, q, e in zip(*parts, strict=True)) / len(parts[0])
        for parts in zip(policy, kl, entropy, strict=True)
    ]
    assert abs(loss(logp, old, advantage, mask, 0.05, 0.03).item() - sum(rows) / 2) < 1e-6


def test_padding_has_no_gradient_and_an_empty_row_counts_as_zero() -> None:
    logp = torch.tensor([[-1.0, -3.0], [-1.0, -1.0]], requires_grad=True)
    old = torch.tensor([[-1.2, 0.0], [-1.0, -1.0]])
    value = loss(logp, old, torch.tensor([1.0, 1.0]), torch.tensor([[1, 0], [0, 0]]), 0.05, 0.05)
    value.backward()
    assert logp.grad is not None
    assert logp.grad[0, 1] == 0
    assert logp.grad[1].abs().max() == 0
    rho = math.exp(0.2)
    assert abs(value.item() - (-1.2 + 0.05 * rho * 0.2 + 0.05 * 1.0) / 2) < 1e-6


def test_gradients_of_the_two_soft_terms_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    old = -torch.rand(2, 3, dtype=torch.float64)
    logp = (old + 0.1 * torch.randn(2, 3, dtype=torch.float64)).requires_grad_()
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    zero = torch.zeros(2, dtype=torch.float64)
    for kl, entropy in ((0.3, 0.0), (0.0, 0.7)):
        assert torch.autograd.gradcheck(lambda x, k=kl, e=entropy: loss(x, old, zero, mask, k, e), (logp,))


def test_at_ratio_one_the_policy_gradient_is_the_advantage() -> None:
    logp = torch.full((2, 2), -1.0, requires_grad=True)
    loss(logp, logp.detach().clone(), torch.tensor([3.0, -3.0]), torch.ones(2, 2), 0.0, 0.0).backward()
    assert logp.grad is not None
    assert torch.allclose(logp.grad, torch.tensor([[-0.75, -0.75], [0.75, 0.75]]))
