"""Log-probabilities of padded batches against the ones of each row alone."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from r4t_ray.folm.completion_logps import ROWS, completion_logps

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


def test_an_empty_completion_counts_as_zeros() -> None:
    ids, mask = torch.ones(1, 6, dtype=torch.long), torch.tensor([[1, 1, 1, 0, 0, 0]])
    logp_BT = completion_logps(tiny_model(), ids, mask, 3, 1.0)
    assert logp_BT.tolist() == [[0.0, 0.0, 0.0]]
