"""Which sets belong to the theme of a query, decided by words and not by an embedding.

A set is relevant if its title, categories and description together hold all core words of the theme, singular or
plural. In a script that writes no spaces, a text holds a core word if it contains it. The core words of "simple soup"
are "soup". Where a catalogue is too small for themes, a query is a title and its core words are the words of the title.
The set with that title is then relevant, and so is every set that holds its words.

The ingest stage computes the list, because only it knows the categories. The list judges answers. So only
``evaluation/`` and ``drift/`` may read it: no stage before them trains on it or searches by it. What a log names for
training and validation queries is also their reference in queries.parquet, which stages train on; see logged.py.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from r4t_ray.catalogue.catalogue import ItemSet
from r4t_ray.catalogue.queries.function_words import STOP_WORDS
from r4t_ray.catalogue.queries.unspaced import is_unspaced, runs
from r4t_ray.catalogue.queries.words import folded, only_words
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
    forms = frozenset().union(*forms_of.values())
    lengths = sorted({len(word) for word in forms_of if is_unspaced(word)})
    rows_of: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
    for row, each in enumerate(sets):
        words = {word for text in (each.title, *each.categories, each.description) for word in words_of(text)}
        for form in {form for word in words for form in forms_in(word, lengths)} & forms:
            rows_of[form].append(row)
    with_word = {
        word: np.unique(np.concatenate([np.array(rows_of[form], dtype=np.int64) for form in forms]))
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
    """The folded words of a text without apostrophes. A hyphen separates words. Without words, what stands there.

    >>> words_of("Crème-Brûlée (Shepherd's)"), words_of("🎂 🎉")
    (['creme', 'brulee', 'shepherds'], ['🎂', '🎉'])
    """
    plain = re.sub(r"['’]", "", folded(text).lower())  # folding № gives No
    return re.sub(r"[-_]", " ", only_words(plain)).split() or plain.split()


def forms_in(word: str, lengths: Sequence[int]) -> Iterator[str]:
    """The forms by which a word of a set is found.

    They are its singulars. A word in a script without spaces is a phrase: each of its parts of the given lengths is a
    form, and so are the singulars of its parts in other scripts.

    >>> sorted(forms_in("soups", [2])), sorted(forms_in("ガラス", [2]))
    (['soup', 'soups'], ['ガラ', 'ガラス', 'ラス'])
    """
    yield from singulars(word)
    if is_unspaced(word):
        for length in lengths:
            yield from (word[start : start + length] for start in range(len(word) - length + 1))
        yield from (form for kind, run in runs(word) if not kind for form in singulars(run))


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
