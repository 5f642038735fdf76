"""Which sets belong to the theme of a query, decided by words and not by an embedding.

A set is relevant if its title, categories and description together hold all core words of the theme, singular or
plural. The core words of "simple soup" are "soup". Where a catalogue is too small for themes, a query is a
title and its core words are the words of the title. The set with that title is then relevant, and so is every set that
holds its words.

The ingest stage computes the list, because only it knows the categories. The list judges answers. So only
``evaluation/`` and ``drift/`` may read it: no stage before them trains on it or searches by it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from r4t_ray.catalogue.catalogue import ItemSet
from r4t_ray.catalogue.queries.splits import without_accents
from r4t_ray.catalogue.queries.themes import STOP_WORDS
from r4t_ray.types import Rows

SIBILANTS = ("s", "x", "z", "ch", "sh", "o")
"""A noun with one of these endings has a plural in -es: dishes, tomatoes."""


def relevant_sets(cores: Sequence[str], sets: Iterable[ItemSet]) -> list[Rows]:
    """The relevant sets of each core.

    Args:
        cores: The core words of each query, as one text.
        sets: The sets, each with its categories.

    Returns:
        For each core, the ascending positions in ``sets``; empty if no set holds all its words.
    """
    wanted = {core: core_words(core) for core in cores}
    forms_of = {word: singulars(word) for words in wanted.values() for word in words}
    indexed = frozenset().union(*forms_of.values())
    rows_of: defaultdict[str, list[int]] = defaultdict(list)
    for row, each in enumerate(sets):
        words = words_of(" ".join((each.title, *each.categories, each.description)))
        for form in {form for word in set(words) for form in singulars(word)} & indexed:
            rows_of[form].append(row)
    with_word = {
        word: np.unique(np.array([row for form in forms for row in rows_of[form]], dtype=np.int64))
        for word, forms in forms_of.items()
    }
    found = {core: with_all([with_word[word] for word in words]) for core, words in wanted.items()}
    return [found[core] for core in cores]


def with_all(rows: Sequence[Rows]) -> Rows:
    """The values that are in every one of the ascending arrays; none if there is no array.

    >>> with_all([np.array([1, 3, 5]), np.array([0, 1, 2, 5])]).tolist()
    [1, 5]
    """
    common, *others = sorted(rows, key=len) or [np.zeros(0, dtype=np.int64)]
    for larger in others:
        # The least of the arrays is looked up in the others, so a frequent word costs little beside a rare one.
        places = np.searchsorted(larger, common)
        common = common[larger[np.minimum(places, len(larger) - 1)] == common]
    return common


def core_words(core: str) -> tuple[str, ...]:
    """The words that a relevant set must hold: all of the core except stop words, or all if it has no others.

    >>> core_words("rice and pasta"), core_words("shepherd's pie")
    (('rice', 'pasta'), ('shepherds', 'pie'))
    """
    words = words_of(core)
    return tuple(word for word in words if word not in STOP_WORDS) or tuple(words)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without accents and apostrophes. A hyphen separates words.

    >>> words_of("Crème-Brûlée (Shepherd's)")
    ['creme', 'brulee', 'shepherds']
    """
    return re.findall(r"[^\W_]+", re.sub(r"['’]", "", without_accents(text)))


@lru_cache(maxsize=2**16)
def singulars(word: str) -> frozenset[str]:
    """The word, and every word that it may be the regular plural of.

    Two words match if they share one of these forms, so "soups" matches "soup", and "capes" does not match "cap".

    >>> sorted(singulars("berries")), sorted(singulars("dishes")), sorted(singulars("loaves")), sorted(singulars("gas"))
    (['berrie', 'berries', 'berry'], ['dish', 'dishe', 'dishes'], ['loaf', 'loafe', 'loave', 'loaves'], ['gas'])
    """
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return frozenset({word})
    forms = {word, word[:-1]}
    if word.endswith("ies"):
        forms.add(word[:-3] + "y")
    elif word.endswith("ves"):
        forms |= {word[:-3] + "f", word[:-3] + "fe"}
    elif word.endswith("es") and word[:-2].endswith(SIBILANTS):
        forms.add(word[:-2])
    return frozenset(forms)
