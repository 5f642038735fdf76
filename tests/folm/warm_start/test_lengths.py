"""Answers that are too long for the settings are shortened by words, and prompts that are too long are an error."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from transformers import AutoTokenizer

from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import Example, format_answer, parse_answer
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


def test_a_few_long_prompts_are_counted_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    prompts = ["a", "b", "c " * 5000]
    with caplog.at_level(logging.WARNING):
        check_prompts(prompts, words, max_completion_tokens=5, max_model_len=8)
    assert "1 of 3 queries lose their last words in the prompt: the longest prompt has 5000 tokens" in caplog.text


def test_a_few_examples_without_room_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    short, long = Example("a wish", format_answer(["seven"])), Example("word " * 5000, format_answer(["seven"]))
    with caplog.at_level(logging.WARNING):
        assert fit_answers([short, long, short], words, k=3, max_completion_tokens=9, max_length=20) == [short, short]
    assert "1 of 3 examples left out" in caplog.text


def test_a_sub_query_without_spaces_is_cut_to_its_first_characters() -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("package:r4t_ray/folm/base_model"))
    example = Example("<oar>soup", format_answer(["ต้มยำ" * 30, "แกง" * 40]))
    (fitted,) = fit_answers([example], tokenizer, k=10, max_completion_tokens=60, max_length=192)
    assert 50 < len(tokenizer(fitted.completion)["input_ids"]) < 60
    (sub_query,) = parse_answer(fitted.completion, 10) or ()
    assert ("ต้มยำ" * 30).startswith(sub_query)
