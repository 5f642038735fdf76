"""ln p(query | prompt) by a causal language model in torch, for the back-translation reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from r4t_ray.encoders import resolve_model
from r4t_ray.folm.policy.loading import load_trainable, model_source
from r4t_ray.folm.policy.tokens import prompt_tokens
from r4t_ray.rewards import BackTranslationConfig, QueryLogProbs


class QueryScorer:
    """A causal language model that scores queries. It is opened by the first call, because most stages make none."""

    def __init__(self, config: BackTranslationConfig) -> None:
        self._config = config
        self._opened: tuple[Any, Any] | None = None

    def __call__(self, prompts: Sequence[str], queries: Sequence[str]) -> QueryLogProbs:
        """The log-probability of each query as the continuation of its prompt. A space stands between both.

        Pairs of similar length share a pass. Padding is on the right, so a causal model does not see it.

        Raises:
            ConfigError: The model is not there.
        """
        model, tokenizer = self._open()
        pairs = [
            (prompt, tokenizer(f" {query.strip()}", add_special_tokens=False)["input_ids"])
            for prompt, query in zip(prompt_tokens(prompts, "compact", tokenizer), queries, strict=True)
        ]
        order = sorted(range(len(pairs)), key=lambda b: len(pairs[b][0]) + len(pairs[b][1]))
        sums_B = np.zeros(len(pairs), np.float32)
        for start in range(0, len(order), self._config.batch_size):
            places = order[start : start + self._config.batch_size]
            sums_B[places] = log_probs(model, [pairs[b] for b in places])
        return QueryLogProbs(sums_B, np.array([len(query) for _, query in pairs], np.float32))

    def _open(self) -> tuple[Any, Any]:
        if self._opened is None:
            from transformers import AutoTokenizer

            resolved = resolve_model(self._config.model)
            model = load_trainable(resolved).to(self._config.device).eval()
            self._opened = model, AutoTokenizer.from_pretrained(**model_source(resolved))
        return self._opened


def log_probs(model: Any, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """The log-probability, in nats, of the second tokens of each pair after the first ones, by one pass."""
    import torch

    length = max(len(prompt) + len(query) for prompt, query in pairs)
    token_BT = torch.zeros(len(pairs), length, dtype=torch.long)
    is_real_BT = torch.zeros(len(pairs), length, dtype=torch.long)
    for b, (prompt, query) in enumerate(pairs):
        both = [*prompt, *query]
        token_BT[b, : len(both)] = torch.tensor(both)
        is_real_BT[b, : len(both)] = 1
    first = min(len(prompt) for prompt, _ in pairs) - 1  # the position that predicts the first token of a query
    with torch.inference_mode():
        logits_BTV = model(
            input_ids=token_BT.to(model.device),
            attention_mask=is_real_BT.to(model.device),
            logits_to_keep=torch.arange(first, length - 1, device=model.device),
            use_cache=False,
        ).logits.float()
        found_BT = torch.log_softmax(logits_BTV, dim=-1).cpu()
        found_BT = found_BT.gather(2, token_BT[:, first + 1 :, None])[..., 0]
    starts = [len(prompt) - 1 - first for prompt, _ in pairs]
    return [
        float(found_T[start : start + len(query)].sum())
        for found_T, start, (_, query) in zip(found_BT, starts, pairs, strict=True)
    ]
