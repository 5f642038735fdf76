"""Themes made from titles and categories."""

from __future__ import annotations

from r4t_ray.catalogue.queries.themes import make_themes

TITLES = [f"{word} soup" for word in ("easy",) * 4 + ("leek", "fish", "bean", "corn")]


def test_a_text_from_a_template_belongs_to_the_core_of_the_template() -> None:
    themes = {theme.text: theme for theme in make_themes(TITLES)}
    assert themes["easy soup"].core == "soup"
    assert themes["easy soup"].split == themes["soup"].split


def test_a_word_needs_eight_titles_and_a_pair_three() -> None:
    texts = {theme.text for theme in make_themes([*TITLES[:7], "lemon cake", "lemon cake", "lemon cake"])}
    assert texts == {"easy soup", "lemon cake"}
    assert "soup for a dinner party" in {theme.text for theme in make_themes(TITLES)}


def test_categories_make_themes_by_their_subject() -> None:
    assert "soup" in {theme.text for theme in make_themes([], ["Soup recipes"] * 5 + ["Recipes for soup"] * 3)}
