"""Prompts and the parser of answers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.prompt import (
    answer_regex,
    format_answer,
    parse_answer,
    parse_fan_out,
    preamble_chars,
    render_prompt,
    with_numbers,
    with_words,
)


@given(
    st.lists(
        st.text(min_size=1).filter(lambda text: text.strip() and "</queries>" not in text and "<queries>" not in text),
        min_size=1,
        max_size=10,
    )
)
def test_parsing_inverts_formatting(queries: list[str]) -> None:
    assert parse_answer(format_answer(queries), 10) == tuple(query.strip()[:200] for query in queries)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no list",
        "<queries>",
        '<queries>["a"',
        '<queries>["a", 3]</queries>',
        '<queries>{"a": 1}</queries>',
        "<queries>[]</queries>",
        '<queries>["  "]</queries>',
    ],
)
def test_text_without_a_list_of_strings_is_not_parsed(text: str) -> None:
    assert parse_answer(text, 10) is None


def test_thinking_is_skipped_and_only_k_are_kept() -> None:
    text = '<think>maybe <queries>["no"]</queries>?</think>\n<queries>["a", "b", "c"]</queries> done'
    assert parse_answer(text, 2) == ("a", "b")


def test_repeats_are_kept_for_the_reward_to_see() -> None:
    assert parse_answer('<queries>["a", "a"]</queries>', 10) == ("a", "a")


class ChatTokenizer:
    """Renders a conversation as its roles and contents."""

    chat_template = "roles and contents"

    def apply_chat_template(self, turns: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool) -> str:
        assert not tokenize
        assert add_generation_prompt
        return "".join(f"[{turn['role']}]{turn['content']}" for turn in turns) + "[assistant]"


def test_compact_prompts_are_the_task_and_the_lower_case_query() -> None:
    assert render_prompt("wscr", " Lemon Cake ", 10, "compact", None) == "<wscr>lemon cake"


def test_compact_prompts_of_oar_number_the_words_and_answers_name_them_by_their_numbers() -> None:
    assert render_prompt("oar", " Lemon Cake ", 10, "compact", None) == "<oar>1 lemon 2 cake"
    text = format_answer(["almond 2", "2 3 with 1"])
    read = parse_fan_out(text, 10, task="oar", query=" Lemon Cake ", style="compact")
    assert read == ("almond cake", "cake 3 with lemon")
    assert parse_fan_out(text, 10, task="oar", query="Lemon Cake", style="chat") == ("almond 2", "2 3 with 1")
    assert parse_fan_out(text, 10, task="wscr", query="Lemon Cake", style="compact") == ("almond 2", "2 3 with 1")
    assert parse_fan_out("no list", 10, task="oar", query="Lemon Cake", style="compact") is None


def test_a_long_word_that_an_answer_repeats_by_its_number_is_cut() -> None:
    (read,) = parse_fan_out(format_answer(["1 " * 90]), 10, task="oar", query="a" * 150, style="compact") or ()
    assert read == "a" * 150 + " " + "a" * 49


@given(st.lists(st.text(min_size=1).filter(lambda text: text.split() == [text]), min_size=1, max_size=12))
def test_numbers_alone_give_back_the_words_of_any_query(words: list[str]) -> None:
    query = " ".join(words)
    assert len(with_numbers(query).split()) == 2 * len(query.lower().split())
    numbers = " ".join(str(number) for number in range(1, len(query.lower().split()) + 1))
    assert with_words(numbers, query) == " ".join(query.lower().split())


def test_chat_prompts_contain_k_the_query_and_the_answer_form() -> None:
    text = render_prompt("oar", "rainy day food", 7, "chat", ChatTokenizer())
    assert text.startswith("[user]")
    assert text.endswith("Wish: rainy day food[assistant]")
    assert "at most 7 strings" in text
    assert "<queries></queries>" in text


def test_characters_before_the_list_are_counted() -> None:
    assert preamble_chars('<queries>["a"]</queries>') == 0
    assert preamble_chars('think<queries>["a"]</queries> and more') == 5
    assert preamble_chars("no list") == 7


def test_a_tokenizer_without_a_chat_template_raises_config_error() -> None:
    class Untaught:
        chat_template = None

    with pytest.raises(ConfigError, match=r"prompt_style.*chat template"):
        render_prompt("oar", "a wish", 3, "chat", Untaught())


@given(st.from_regex(answer_regex(3), fullmatch=True))
def test_every_text_that_matches_the_answer_regex_parses(text: str) -> None:
    answer = parse_answer(text, 10)
    assert answer is not None
    assert 1 <= len(answer) <= 3


def test_formatted_answers_match_the_answer_regex() -> None:
    assert re.fullmatch(answer_regex(2), format_answer(["jalapeño", "red apple"]))
    assert not re.fullmatch(answer_regex(2), format_answer(["a", "b", "c"]))
