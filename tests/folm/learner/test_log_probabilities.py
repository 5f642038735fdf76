"""Log-probabilities of padded batches against a forward pass of each row alone."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from r4t_ray.folm.learner.log_probabilities import ROWS, TargetLogps, completion_logps

VOCAB = 23


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            initializer_range=0.5,
        )
    ).eval()  # fmt: skip


def ragged(num: int, longest: int) -> list[torch.Tensor]:
    return [torch.randint(1, VOCAB, (1 + int(torch.randint(longest, ())),)) for _ in range(num)]


def padded(rows: list[torch.Tensor], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row) for row in rows)
    pads = [(width - len(row), 0) if side == "left" else (0, width - len(row)) for row in rows]
    ids = torch.stack([torch.nn.functional.pad(row, pad) for row, pad in zip(rows, pads, strict=True)])
    ones = [torch.nn.functional.pad(torch.ones_like(row), pad) for row, pad in zip(rows, pads, strict=True)]
    return ids, torch.stack(ones)


def test_each_row_has_the_values_and_gradients_that_it_has_alone() -> None:
    model, num, tau = tiny_model(), ROWS + 9, 0.7
    prompts, completions = ragged(num, 6), ragged(num, 12)
    ids, mask = (torch.cat(both, 1) for both in zip(padded(prompts, "left"), padded(completions, "right"), strict=True))
    logp_BT = completion_logps(model, ids, mask, max(len(completion) for completion in completions), tau)
    weights_B = torch.randn(num)
    (weights_B * logp_BT.sum(1)).sum().backward()
    gradient = model.lm_head.weight.grad.clone()
    model.zero_grad()
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        logits = model(input_ids=torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1]
        alone_T = (logits / tau).log_softmax(-1)[torch.arange(len(completion)), completion]
        assert (logp_BT[row, : len(completion)] - alone_T).abs().max() < 1e-4
        assert logp_BT[row, len(completion) :].abs().sum() == 0
        (weights_B[row] * alone_T.sum()).backward()
    assert (gradient - model.lm_head.weight.grad).abs().max() < 1e-3


def test_an_empty_completion_has_log_probability_zero() -> None:
    ids, mask = torch.ones(1, 6, dtype=torch.long), torch.tensor([[1, 1, 1, 0, 0, 0]])
    logp_BT = completion_logps(tiny_model(), ids, mask, 3, 1.0)
    assert logp_BT.tolist() == [[0.0, 0.0, 0.0]]


def test_target_log_probabilities_and_their_gradient_by_hand() -> None:
    """Logits 0 and tau ln 3 are probabilities 1/4 and 3/4."""
    tau, ln3 = 2.0, math.log(3.0)
    logits = torch.tensor([[[0.0, tau * ln3]]], requires_grad=True)
    logp = TargetLogps.apply(logits, torch.tensor([[1]]), tau)
    logp.backward(torch.tensor([[8.0]]))
    assert logp.item() == pytest.approx(math.log(0.75))
    torch.testing.assert_close(logits.grad, torch.tensor([[[-1.0, 1.0]]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_target_log_probabilities_and_gradients_agree_with_autograd(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(2, 3, VOCAB).to(dtype), torch.randint(VOCAB, (2, 3)), torch.randn(2, 3)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    logp = TargetLogps.apply(ours, targets, 1.5)
    expected = (theirs.float() / 1.5).log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    for values in (logp, expected):
        (weights * values).sum().backward()
    torch.testing.assert_close(logp, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert torch.equal(ours.detach(), logits)
