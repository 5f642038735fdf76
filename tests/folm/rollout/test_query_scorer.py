"""The scorer of the back-translation reward: batches with padding give what one query at a time gives."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer

from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.loading import load_trainable
from r4t_ray.folm.rollout.query_scorer import QueryScorer
from r4t_ray.rewards import BackTranslationConfig

BASE = "package:r4t_ray/folm/base_model"


def scorer_of(**changes: object) -> QueryScorer:
    return QueryScorer(BackTranslationConfig(**{"type": "back_translation", "model": BASE, "batch_size": 2} | changes))


def test_log_probabilities_are_those_of_single_sequences() -> None:
    prompts = ["found: soup", "found: tomato soup, bean soup and bread", "found:"]
    queries = ["easy soup", "a soup with beans for winter", "soup"]
    sums_B, num_tokens_B = scorer_of()(prompts, queries)
    model, tokenizer = load_trainable(resolve_model(BASE)).eval(), AutoTokenizer.from_pretrained(resolve_model(BASE))
    for b, (prompt, query) in enumerate(zip(prompts, queries, strict=True)):
        before = tokenizer(prompt)["input_ids"]
        after = tokenizer(f" {query}", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            log_p_TV = torch.log_softmax(model(torch.tensor([before + after])).logits[0], dim=-1)
        expected = sum(float(log_p_TV[len(before) - 1 + step, token]) for step, token in enumerate(after))
        assert abs(float(sums_B[b]) - expected) < 1e-4
        assert num_tokens_B[b] == len(after)


def test_the_model_is_opened_by_the_first_call() -> None:
    scorer = scorer_of(model="package:no_such_package")
    with pytest.raises(ConfigError, match="no installed package 'no_such_package'"):
        scorer(["found:"], ["soup"])
