"""Themes made from titles, categories and templates."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from r4t_ray.catalogue import CookbookConfig, PolyvoreConfig, SetsConfig
from r4t_ray.catalogue.queries.themes import NEUTRAL_TEMPLATES, Templates, make_themes, title_words

TITLES = [f"{word} soup" for word in ("easy",) * 4 + ("leek", "fish", "bean", "corn")]
FOOD = Templates(("{}", "easy {}", "{} for dinner"), ("{}", "{} dishes"))


def texts_of(titles: list[str], categories: list[str] | None = None, templates: Templates = FOOD) -> list[str]:
    return [theme.text for theme in make_themes(titles, categories or (), templates=templates)]


def test_a_text_from_a_template_belongs_to_the_core_of_the_template() -> None:
    themes = {theme.text: theme for theme in make_themes(TITLES, templates=FOOD)}
    assert themes["easy soup"].core == "soup"
    assert themes["easy soup"].split == themes["soup"].split


def test_a_word_needs_eight_titles_and_a_pair_three() -> None:
    assert texts_of([*TITLES[:7], "lemon cake", "lemon cake", "lemon cake"]) == ["easy soup", "lemon cake"]
    assert "soup for dinner" in texts_of(TITLES)


def test_types_and_modifiers_have_their_own_templates() -> None:
    assert texts_of([f"{word} soup" for word in ("red",) * 8], templates=FOOD) == [
        "easy soup", "red", "red dishes", "red soup", "soup", "soup for dinner",
    ]  # fmt: skip


def test_categories_make_themes_by_their_subject() -> None:
    assert "soup" in texts_of([], ["Soup recipes"] * 5 + ["Recipes for soup"] * 3)


def test_templates_belong_to_a_dataset_and_settings_replace_them() -> None:
    own = SetsConfig(items="i.jsonl", sets="s.jsonl")
    assert own.theme_templates == NEUTRAL_TEMPLATES
    assert "{} for a dinner party" in CookbookConfig().theme_templates.types
    assert "{} outfits" in PolyvoreConfig(path="p").theme_templates.modifiers
    chosen = SetsConfig(items="i.jsonl", sets="s.jsonl", templates=["a {} that lasts"])
    assert texts_of(["red soup"] * 8, templates=chosen.theme_templates) == [
        "a red that lasts", "a soup that lasts", "red soup",
    ]  # fmt: skip


@pytest.mark.parametrize("template", ["soup", "{} and {}", "{0}", "{} {name}", "{{}}", ""])
def test_a_template_without_exactly_one_gap_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match="needs exactly one"):
        SetsConfig(items="i.jsonl", sets="s.jsonl", templates=["{}", template])


def test_words_that_say_nothing_make_no_theme() -> None:
    titles = [f"a game that you play with your {word}" for word in ("red", "blue", "small", "old") * 4]
    assert texts_of(titles, templates=Templates(("{}",), ("with {}",))) == [
        "game blue", "game old", "game red", "game small", "play blue", "play old", "play red", "play small",
        "with game", "with play",
    ]  # fmt: skip


@pytest.mark.parametrize("title", ["faux fur", "moong dal", "trash can"])
def test_a_word_that_names_a_thing_in_one_language_is_kept(title: str) -> None:
    assert " ".join(title_words(title)) == title
