"""Broad themes, made from titles, categories and templates: made-up queries of open-ended abstract retrieval (OAR).

A type is the last word of a title ("soup"). A modifier is any other word ("lemon"). A core is a type, a category, a
modifier, or a modifier with a type. All themes of one core are in the same split, so no held-out theme is a rewording
of a training theme.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.types import Split

STOP_WORDS = frozenset(
    "a an and the of with in for from on to style la le de du al el et con alla i ii".split()  # noqa: SIM905 - shorter
)
MIN_TYPE, MIN_MODIFIER, MIN_PAIR = 8, 8, 3


class Templates(NamedTuple):
    """The texts of themes. In each, {} stands for the core: a type or a category in ``types``, else a modifier."""

    types: tuple[str, ...]
    modifiers: tuple[str, ...]


NEUTRAL_TEMPLATES = Templates(
    types=("{}", "simple {}", "unusual {}", "different kinds of {}"),
    modifiers=("{}", "{} ideas", "something with {}"),
)
"""Templates that fit outfits and playlists, rooms and software."""


class Theme(NamedTuple):
    """``text`` is the query. ``core`` holds the words of the sets that match it. Themes of a core share a split."""

    text: str
    core: str
    split: Split


def theme_of(text: str, core: str) -> Theme:
    """The theme in the split that the hash of its core determines."""
    return Theme(text, core, split_of(core))


def title_words(title: str) -> tuple[str, ...]:
    """Words of a title that may appear in a theme, in order."""
    words = normalise_title(title).replace("-", " ").split()
    return tuple(word for word in words if len(word) > 2 and word not in STOP_WORDS and not word.isdigit())


def make_themes(titles: Iterable[str], categories: Iterable[str] = (), *, templates: Templates) -> list[Theme]:
    """All themes of a catalogue, sorted by text. Each text occurs once.

    Args:
        titles: Titles of the sets.
        categories: Categories of all sets, with repeats ("Soup recipes"). A category needs MIN_TYPE occurrences.
        templates: The texts. A modifier with a type is a theme without a template.
    """
    worded = [words for words in map(title_words, titles) if words]
    types = _frequent((words[-1] for words in worded), MIN_TYPE)
    modifiers = _frequent((word for words in worded for word in set(words[:-1])), MIN_MODIFIER)
    pairs = _frequent((f"{word} {words[-1]}" for words in worded for word in set(words[:-1])), MIN_PAIR)
    named = _frequent((category_name(category) for category in categories), MIN_TYPE)
    # If two themes have equal texts, the last one is kept, so "easy soup" belongs to the core "soup".
    themes = [theme_of(core, core) for core in pairs]
    themes += [theme_of(text.replace("{}", core), core) for core in modifiers for text in templates.modifiers]
    themes += [theme_of(text.replace("{}", core), core) for core in {*types, *named} for text in templates.types]
    return sorted({theme.text: theme for theme in themes}.values())


def category_name(category: str) -> str:
    """The subject of a category: 'soup' for 'Soup recipes' and for 'Recipes for soup'."""
    return re.sub(r"\b(?:recipes?|for)\b", " ", normalise_title(category)).strip()


def _frequent(words: Iterable[str], least: int) -> list[str]:
    return [word for word, count in Counter(words).items() if count >= least and word]
