"""Broad themes, made from titles, categories and templates: made-up queries of open-ended abstract retrieval (OAR).

A type is the last word of a title ("soup"). A modifier is any other word ("lemon"). A core is a type, a category, a
modifier, or a modifier with a type. All themes of one core are in the same split, so no held-out theme is a rewording
of a training theme. The core is folded, and the text of a theme is spelled as people spell it. In scripts that write no
spaces, a part that several titles share is a core too.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable
from functools import lru_cache
from typing import NamedTuple

from r4t_ray.catalogue.queries.function_words import STOP_WORDS
from r4t_ray.catalogue.queries.splits import normalise_title, split_of, written_title
from r4t_ray.catalogue.queries.unspaced import PARTICLES, frequent_parts, is_unspaced
from r4t_ray.catalogue.queries.words import folded, script_of
from r4t_ray.types import Split

MIN_TYPE, MIN_MODIFIER, MIN_PAIR = 8, 8, 3


class Templates(NamedTuple):
    """The texts of themes. In each, {} stands for the core: a type or a category in ``types``, else a modifier.

    Without ``accents``, Latin words are written without them. The shipped base model was pretrained on such themes.
    """

    types: tuple[str, ...]
    modifiers: tuple[str, ...]
    accents: bool = True


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


@lru_cache(maxsize=2**16)
def title_words(title: str) -> tuple[str, ...]:
    """Words of a title that may appear in a theme, folded and in order."""
    return tuple(word for word in normalise_title(title).replace("-", " ").split() if is_theme_word(word))


def written_words(title: str) -> tuple[str, ...]:
    """The same words in lower case as people wrote them.

    >>> written_words("The Crème Brûlée II"), written_words("ต้มยำ")
    (('crème', 'brûlée'), ('ต้มยำ',))
    """
    return tuple(word for word in written_title(title).replace("-", " ").split() if is_theme_word(folded(word)))


def is_theme_word(word: str) -> bool:
    """Whether a folded word says something: no number, stop word or word of one or two letters of an alphabet."""
    is_long = len(word) > 2 or is_unspaced(word) or any(script_of(char) == "HANGUL" for char in word)
    return is_long and word not in STOP_WORDS and word not in PARTICLES and not word.isdigit()


def spellings(texts: Iterable[str], words: Container[str]) -> dict[str, str]:
    """Folded word -> how most of the texts spell it, in lower case. Only the folded ``words`` are counted.

    >>> spellings(["Phở bò", "phở", "pho"], {"pho"})
    {'pho': 'phở'}
    """
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for title in map(written_title, texts):
        for word in dict.fromkeys([*title.split(), *title.replace("-", " ").split()]):
            key = folded(word)
            if key in words:
                found[key][word] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in found.items()}


def make_themes(titles: Iterable[str], categories: Iterable[str] = (), *, templates: Templates) -> list[Theme]:
    """All themes of a catalogue, sorted by their folded texts. Each text occurs once.

    Args:
        titles: Titles of the sets.
        categories: Categories of all sets, with repeats ("Soup recipes"). A category needs MIN_TYPE occurrences.
        templates: The texts. A modifier with a type is a theme without a template.
    """
    titles, categories = list(titles), list(categories)
    last, others = _count_words(titles)
    types, modifiers = _frequent(last, MIN_TYPE), _frequent(others, MIN_MODIFIER)
    pairs = _frequent(_count_pairs(titles, last, others), MIN_PAIR)
    named = _frequent(_count_names(categories), MIN_TYPE)
    texts = _texts_of_cores({*types, *modifiers, *pairs, *named}, [*titles, *set(categories)], templates.accents)
    phrases = {folded(part): part for part in frequent_parts(map(written_title, titles), MIN_TYPE)}
    # The last of two equal texts is kept, so "easy soup" belongs to the core "soup".
    themes = [theme_of(texts[core], core) for core in pairs]
    themes += [theme_of(text.replace("{}", texts[core]), core) for core in modifiers for text in templates.modifiers]
    texts |= phrases
    themes += [
        theme_of(text.replace("{}", texts[core]), core)
        for core in dict.fromkeys([*types, *named, *phrases])
        for text in templates.types
    ]
    return distinct(themes)


def theme_key(theme: Theme) -> str:
    """The text for comparisons. Themes with equal keys are one query."""
    return folded(theme.text)


def distinct(themes: Iterable[Theme]) -> list[Theme]:
    """The last theme of each key, sorted by key."""
    last = {theme_key(theme): theme for theme in themes}
    return [last[key] for key in sorted(last)]


def _texts_of_cores(cores: Collection[str], texts: Iterable[str], accents: bool) -> dict[str, str]:
    """Core -> its words as the texts spell them. Without ``accents``, a Latin word stays folded."""
    words = {word for core in cores for word in core.split()}
    spelled = {key: word for key, word in spellings(texts, words).items() if accents or not key.isascii()}
    return {core: " ".join(spelled.get(word, word) for word in core.split()) for core in cores}


def category_name(category: str) -> str:
    """The subject of a category: 'soup' for 'Soup recipes' and for 'Recipes for soup'."""
    return re.sub(r"\b(?:recipes?|for)\b", " ", normalise_title(category)).strip()


def _count_words(titles: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """In how many titles each word is the last, and in how many it is another one."""
    last, others = Counter[str](), Counter[str]()
    for words in map(title_words, titles):
        last.update(words[-1:])
        others.update(set(words[:-1]))
    return last, others


def _count_pairs(titles: Iterable[str], last: Counter[str], others: Counter[str]) -> Counter[str]:
    """How many titles have a word and a last word, for the pairs that may be in MIN_PAIR titles by their words."""
    return Counter(
        f"{word} {words[-1]}"
        for words in map(title_words, titles)
        if words and last[words[-1]] >= MIN_PAIR
        for word in set(words[:-1])
        if others[word] >= MIN_PAIR
    )


def _count_names(categories: Iterable[str]) -> Counter[str]:
    """How often each name of a category occurs."""
    names = Counter[str]()
    for category, count in Counter(categories).items():
        names[category_name(category)] += count
    return names


def _frequent(counts: Counter[str], least: int) -> list[str]:
    return [word for word, count in counts.items() if count >= least and word]
