"""Token ids of prompts and answers. Engines, learner and warm start see the ids that these functions make."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import PromptStyle, render_prompt
from r4t_ray.types import Task


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


def fitted_prompt(task: Task, query: str, *, k: int, style: PromptStyle, tokenizer: Any, most: int) -> str:
    """The prompt of a query, as ``render_prompt`` writes it, in at most ``most`` tokens.

    A query that is too long keeps as many first words as fit, and a single word as many first characters. If not even
    the prompt without a query fits, its query is empty.
    """

    def render(text: str) -> str:
        return render_prompt(task, text, k, style, tokenizer)

    def is_long(text: str) -> bool:
        return len(prompt_tokens([render(text)], style, tokenizer)[0]) > most

    if not is_long(query):
        return render(query)
    words = query.split()
    num_words = bisect_left(range(1, len(words) + 1), True, key=lambda num: is_long(" ".join(words[:num])))
    if num_words or not words:
        return render(" ".join(words[:num_words]))
    num_chars = bisect_left(range(1, len(words[0]) + 1), True, key=lambda num: is_long(words[0][:num]))
    return render(words[0][:num_chars])


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
