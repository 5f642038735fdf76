"""Rewrites of a wish, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.folm.policy.prompt import with_words
from r4t_ray.folm.warm_start.rewrites import MAX_NEW_WORDS, numbers_of, rewrite, subject_of

VOCABULARY = ("lemon", "tart", "pie", "easy", "rice", "salad", "thai", "basil", "soup", "dark")
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("wish", "titles", "subject"),
    [
        ("something with wheat", ["Wheat Bread", "Whole Wheat Pasta", "Rice"], "3"),
        ("banana pie", ["Apple Pie", "Key Lime Pie", "Banana Bread"], "2"),
        ("comfort food", ["Stew", "Pot Roast"], None),
    ],
)
def test_the_subject_is_the_word_that_most_titles_hold(wish: str, titles: list[str], subject: str | None) -> None:
    assert subject_of(numbers_of(wish), titles) == subject


def test_a_title_that_shares_nothing_keeps_its_words_if_the_wish_has_no_subject() -> None:
    assert rewrite("Beef Pot Roast", numbers_of("comfort food"), None) == "beef pot"
    assert rewrite("The 7", numbers_of("comfort food"), None) == ""


@given(WORDS, WORDS)
def test_a_rewrite_holds_the_shared_words_and_at_most_two_others(wish: list[str], title: list[str]) -> None:
    query = " ".join(wish)
    numbers = numbers_of(query)
    text = with_words(rewrite(" ".join(title), numbers, numbers[wish[-1]]), query)
    assert set(title) & set(wish) <= set(text.split()) <= set(title) | set(wish)
    assert set(text.split()) & set(wish)
    assert len(set(text.split()) - set(wish)) <= MAX_NEW_WORDS
