"""Token ids of prompts and answers. Engines, learner and warm start see the ids that these functions make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import PromptStyle


def prompt_tokens(prompts: Sequence[str], style: PromptStyle, tokenizer: Any) -> list[list[int]]:
    """The ids of texts that ``render_prompt`` wrote in a style.

    A chat template writes every special token itself. So none is added, and the ids are the ones of
    ``apply_chat_template(tokenize=True)``. A compact prompt gets the tokenizer's own token of a beginning, if there is
    one. A token of the end is taken off, because the answer follows.
    """
    if not prompts:
        return []
    ids: list[list[int]] = tokenizer(list(prompts), add_special_tokens=style == "compact")["input_ids"]
    if style == "chat":
        return ids
    return [each[:-1] if each[-1:] == [tokenizer.eos_token_id] else each for each in ids]


def answer_tokens(answers: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """The ids of answers as they follow a prompt: no token of a beginning, and the end token last."""
    if not answers:
        return []
    end = end_token(tokenizer)
    return [[*ids, end] for ids in tokenizer(list(answers), add_special_tokens=False)["input_ids"]]


def end_token(tokenizer: Any) -> int:
    """The id of the token that ends an answer.

    Raises:
        ConfigError: The tokenizer has no such token.
    """
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "folm.base_model",
            "a tokenizer without an end token (eos_token)",
            "a tokenizer with a token that ends an answer",
            "set eos_token in the tokenizer_config.json of the model, or name another folm.base_model",
        )
    return int(tokenizer.eos_token_id)
