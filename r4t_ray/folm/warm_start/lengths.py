"""Lengths in tokens: queries and taught answers are compared with the settings before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import Example, PromptStyle, format_answer, parse_answer
from r4t_ray.folm.policy.tokens import prompt_tokens

_logger = logging.getLogger(__name__)


def check_prompts(
    prompts: Sequence[str],
    tokenizer: Any,
    *,
    max_completion_tokens: int,
    max_model_len: int,
    style: PromptStyle = "compact",
) -> None:
    """Raise ConfigError if the longest prompt and a longest answer are longer than the engine's sequences."""
    lengths = list(map(len, prompt_tokens(prompts, style, tokenizer)))
    longest = max(lengths, default=0)
    if longest + max_completion_tokens > max_model_len:
        text = prompts[lengths.index(longest)]
        raise ConfigError(
            "folm.engine.max_model_len",
            f"{max_model_len}, with a prompt of {longest} tokens ({text[-80:]!r}) and answers of up to "
            f"{max_completion_tokens}",
            f"{longest + max_completion_tokens} or more",
            "raise folm.engine.max_model_len, or lower folm.max_completion_tokens",
        )


def fit_answers(
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    k: int,
    max_completion_tokens: int,
    max_length: int,
    style: PromptStyle = "compact",
) -> list[Example]:
    """The examples, with answers that a sampled completion can hold.

    An answer is too long if it has more than ``max_completion_tokens``, or if it has more than ``max_length`` together
    with its prompt; the end token is counted. Its sub-queries are cut to their first words, as many as fit. If single
    words do not fit, the last ones are dropped. A warning counts the shortened answers.

    Args:
        examples: What the warm start teaches.
        tokenizer: The model's tokenizer.
        k: Most sub-queries of an answer.
        max_completion_tokens: ``folm.max_completion_tokens``.
        max_length: ``folm.warm_start.training.max_length``.
        style: The style of the prompts.

    Raises:
        ConfigError: No sub-query of an answer fits.
    """
    prompts = map(len, prompt_tokens([example.prompt for example in examples], style, tokenizer))
    answers = _num_tokens([example.completion for example in examples], tokenizer)
    fitted, num_cut, longest = list(examples), 0, 0
    for place, (example, prompt, answer) in enumerate(zip(examples, prompts, answers, strict=True)):
        room = min(max_completion_tokens, max_length - prompt) - 1
        if answer > room:
            num_cut, longest = num_cut + 1, max(longest, answer)
            fitted[place] = Example(example.prompt, _shorten(example, tokenizer, k, room))
    if num_cut:
        _logger.warning(
            "warm start: %d of %d answers shortened: the longest has %d tokens; raise folm.max_completion_tokens and "
            "folm.warm_start.training.max_length to teach whole texts",
            num_cut, len(examples), longest,
        )  # fmt: skip
    return fitted


def _shorten(example: Example, tokenizer: Any, k: int, room: int) -> str:
    sub_queries = parse_answer(example.completion, k) or ()

    def fits(texts: Sequence[str]) -> bool:
        return _num_tokens([format_answer(texts)], tokenizer)[0] <= room

    texts = list(sub_queries)
    for num_words in range(max((len(text.split()) for text in sub_queries), default=1) - 1, 0, -1):
        texts = list(dict.fromkeys(" ".join(text.split()[:num_words]) for text in sub_queries))
        if fits(texts):
            return format_answer(texts)
    while texts and not fits(texts):
        texts.pop()
    if not texts:
        raise ConfigError(
            "folm.max_completion_tokens and folm.warm_start.training.max_length",
            f"room for {room} tokens after the prompt {example.prompt[-80:]!r}",
            "room for one word",
            "raise them",
        )
    return format_answer(texts)


def _num_tokens(texts: Sequence[str], tokenizer: Any) -> list[int]:
    """Tokens of answers without their end token."""
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
