"""Lengths in tokens: queries and taught answers are compared with the settings before anything is trained."""

from __future__ import annotations

import logging
from bisect import bisect_left
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
    """Compare prompts with the room that a longest answer leaves in the engine's sequences.

    A few long prompts lose the last words of their queries (``fitted_prompt``), and a warning counts them.

    Raises:
        ConfigError: Half of the prompts or more are too long.
    """
    lengths = list(map(len, prompt_tokens(prompts, style, tokenizer)))
    longest, num_long = max(lengths, default=0), sum(one + max_completion_tokens > max_model_len for one in lengths)
    if num_long and 2 * num_long < len(prompts):
        _logger.warning(
            "%d of %d queries lose their last words in the prompt: the longest prompt has %d tokens, and "
            "folm.engine.max_model_len - folm.max_completion_tokens leaves %d",
            num_long, len(prompts), longest, max_model_len - max_completion_tokens,
        )  # fmt: skip
    elif num_long:
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
    words do not fit, the last ones are dropped, and the only one that is left is cut to its first characters. An
    example without room for any answer is left out. Warnings count both.

    Args:
        examples: What the warm start teaches.
        tokenizer: The model's tokenizer.
        k: Most sub-queries of an answer.
        max_completion_tokens: ``folm.max_completion_tokens``.
        max_length: ``folm.warm_start.training.max_length``.
        style: The style of the prompts.

    Raises:
        ConfigError: Half of the examples or more have no room for an answer.
    """
    prompts = map(len, prompt_tokens([example.prompt for example in examples], style, tokenizer))
    answers = _num_tokens([example.completion for example in examples], tokenizer)
    fitted: list[Example] = []
    unfit, num_cut, longest = [], 0, 0
    for example, prompt, answer in zip(examples, prompts, answers, strict=True):
        room = min(max_completion_tokens, max_length - prompt) - 1
        short = example.completion if answer <= room else _shorten(example, tokenizer, k, room)
        if short is None:
            unfit.append((example, room))
            continue
        fitted.append(Example(example.prompt, short))
        if answer > room:
            num_cut, longest = num_cut + 1, max(longest, answer)
    if unfit:
        _check_unfit(unfit, len(examples))
    if num_cut:
        _logger.warning(
            "warm start: %d of %d answers shortened: the longest has %d tokens; raise folm.max_completion_tokens and "
            "folm.warm_start.training.max_length to teach whole texts",
            num_cut, len(examples), longest,
        )  # fmt: skip
    return fitted


def _check_unfit(unfit: Sequence[tuple[Example, int]], num: int) -> None:
    """Warn of examples without room for an answer, given with their room; ConfigError for half of ``num`` or more."""
    example, room = unfit[0]
    if 2 * len(unfit) >= num:
        raise ConfigError(
            "folm.max_completion_tokens and folm.warm_start.training.max_length",
            f"room for {room} tokens after the prompt {example.prompt[-80:]!r}",
            "room for one word",
            "raise them",
        )
    _logger.warning(
        "warm start: %d of %d examples left out, which have no room for an answer, the first after the prompt %r; "
        "raise folm.max_completion_tokens and folm.warm_start.training.max_length",
        len(unfit), num, example.prompt[-80:],
    )  # fmt: skip


def _shorten(example: Example, tokenizer: Any, k: int, room: int) -> str | None:
    """The longest form of the answer in ``room`` tokens; None if not even one character of a sub-query fits."""
    sub_queries = parse_answer(example.completion, k) or ()

    def fits(texts: Sequence[str]) -> bool:
        return _num_tokens([format_answer(texts)], tokenizer)[0] <= room

    texts = list(sub_queries)
    for num_words in range(max((len(text.split()) for text in sub_queries), default=1) - 1, 0, -1):
        texts = list(dict.fromkeys(" ".join(text.split()[:num_words]) for text in sub_queries))
        if fits(texts):
            return format_answer(texts)
    while len(texts) > 1 and not fits(texts):
        texts.pop()
    word = texts[0] if texts else ""
    num_chars = bisect_left(range(1, len(word) + 1), True, key=lambda num: not fits([word[:num]]))
    return format_answer([word[:num_chars], *texts[1:]]) if num_chars else None


def _num_tokens(texts: Sequence[str], tokenizer: Any) -> list[int]:
    """Tokens of answers without their end token."""
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
