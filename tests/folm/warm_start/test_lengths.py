"""Answers that are too long for the settings are shortened by words, and prompts that are too long are an error."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import Example, format_answer
from r4t_ray.folm.warm_start.lengths import check_prompts, fit_answers

LONG = ("one two three", "four five six", "seven")


class OneTokenAWord:
    """A tokenizer with one token a word; an answer's tags stick to its words."""

    eos_token_id = 1

    def __call__(self, texts: Sequence[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0] * len(text.split()) for text in texts]}


words = OneTokenAWord()


@pytest.mark.parametrize(
    ("room", "expected"),
    [(8, LONG), (7, ("one two", "four five", "seven")), (4, ("one", "four", "seven")), (3, ("one", "four"))],
)
def test_sub_queries_keep_as_many_first_words_as_fit(room: int, expected: tuple[str, ...]) -> None:
    example = Example("a wish", format_answer(LONG))
    for limits in (
        {"max_completion_tokens": room, "max_length": 99},
        {"max_completion_tokens": 99, "max_length": room + 2},
    ):
        assert fit_answers([example], words, k=3, **limits) == [Example("a wish", format_answer(expected))]


def test_shortened_answers_are_counted_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    examples = [Example("a wish", format_answer(LONG)), Example("a wish", format_answer(["seven"]))]
    with caplog.at_level(logging.WARNING):
        fit_answers(examples, words, k=3, max_completion_tokens=7, max_length=99)
    assert "1 of 2 answers shortened: the longest has 7 tokens" in caplog.text
    with pytest.raises(ConfigError, match="room for one word"):
        fit_answers(examples, words, k=3, max_completion_tokens=99, max_length=3)


def test_a_prompt_and_its_answer_fit_the_engine() -> None:
    check_prompts(["a b c", "a"], words, max_completion_tokens=5, max_model_len=8)
    with pytest.raises(ConfigError, match=r"max_model_len: got 7, with a prompt of 3 tokens .'a b c'"):
        check_prompts(["a", "a b c"], words, max_completion_tokens=5, max_model_len=7)
