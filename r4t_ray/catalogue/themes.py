"""Broad themes of collections, made from titles, categories and templates.

They are the queries of open-ended abstract retrieval (OAR).

A dish type is the last word of a title ("soup"), and a modifier is any other word ("lemon"). All templates of one core
share the split of the core, so no held-out theme is a rewording of a training theme.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from r4t_ray.catalogue.splits import normalise_title, split_of
from r4t_ray.types import Split

TYPE_TEMPLATES = ("{}", "easy {}", "{} for a dinner party", "{} from around the world")
MODIFIER_TEMPLATES = ("{}", "{} dishes", "something with {}")
STOP_WORDS = frozenset(
    "a an and the of with in for from on to style la le de du al el et con alla i ii".split()  # noqa: SIM905 - shorter
)
MIN_TYPE, MIN_MODIFIER, MIN_PAIR = 8, 8, 3


class Theme(NamedTuple):
    """``text`` is the query; ``core`` holds the words that a matching title has, and decides the split."""

    text: str
    core: str

    @property
    def split(self) -> Split:
        """The split of every theme with this core."""
        return split_of(self.core)


def title_words(title: str) -> tuple[str, ...]:
    """The words of a title that can be part of a theme."""
    words = normalise_title(title).replace("-", " ").split()
    return tuple(word for word in words if len(word) > 2 and word not in STOP_WORDS and not word.isdigit())


def make_themes(titles: Iterable[str], categories: Iterable[str] = ()) -> list[Theme]:
    """All themes of a catalogue, sorted by text; each text occurs once.

    Args:
        titles: Collection titles.
        categories: Collection categories, repeats allowed ("Soup recipes"); those with MIN_TYPE members are used.
    """
    worded = [words for words in map(title_words, titles) if words]
    types = _frequent((words[-1] for words in worded), MIN_TYPE)
    modifiers = _frequent((word for words in worded for word in set(words[:-1])), MIN_MODIFIER)
    pairs = _frequent((f"{word} {words[-1]}" for words in worded for word in set(words[:-1])), MIN_PAIR)
    named = _frequent((category_name(category) for category in categories), MIN_TYPE)
    # Of equal texts the last theme is kept: "easy soup" is a wording of "soup" and shares its split.
    themes = [Theme(core, core) for core in pairs]
    themes += [Theme(template.format(core), core) for core in modifiers for template in MODIFIER_TEMPLATES]
    themes += [Theme(template.format(core), core) for core in {*types, *named} for template in TYPE_TEMPLATES]
    return sorted({theme.text: theme for theme in themes}.values())


def category_name(category: str) -> str:
    """'Soup recipes' and 'Recipes for soup' to 'soup'."""
    return re.sub(r"\b(?:recipes?|for)\b", " ", normalise_title(category)).strip()


def _frequent(words: Iterable[str], least: int) -> list[str]:
    return [word for word, count in Counter(words).items() if count >= least and word]
