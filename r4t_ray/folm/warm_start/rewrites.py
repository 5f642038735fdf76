"""Rewrites of a wish: a pool entry's title, cut to the words that it shares with the wish and at most two others.

A rewrite is written as an answer to the compact prompt: a number stands for a word of the wish
(``policy.prompt.with_words``). A rewrite keeps a word of the wish, so it stays on the topic. Only if no title near the
wish holds any of its words, a rewrite holds new words alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from r4t_ray.catalogue.queries.themes import title_words
from r4t_ray.folm.policy.prompt import words_of

MAX_NEW_WORDS = 2


def numbers_of(wish: str) -> dict[str, str]:
    """Word of a title -> number of the wish's word that it equals.

    >>> numbers_of("An easy Crème brûlée")
    {'easy': '2', 'creme': '3', 'brulee': '4'}
    """
    numbers: dict[str, str] = {}
    for number, word in enumerate(words_of(wish), 1):
        for part in title_words(word):
            numbers.setdefault(part, str(number))
    return numbers


def subject_of(numbers: dict[str, str], titles: Sequence[str]) -> str | None:
    """The number of the wish's word that most titles hold; None if no title holds any."""
    counts = Counter(word for title in titles for word in set(title_words(title)) if word in numbers)
    return numbers[max(sorted(counts), key=lambda word: counts[word])] if counts else None


def rewrite(title: str, numbers: dict[str, str], subject: str | None) -> str:
    """The title's shared words as numbers and its first new words, in order. The subject follows if none is shared.

    >>> rewrite("Grandma's Best Strawberry Pie", {"banana": "1", "pie": "2"}, "2")
    "grandma's best 2"
    >>> rewrite("Key Lime Tart", {"banana": "1", "pie": "2"}, "2")
    'key lime 2'
    """
    rewritten: list[str] = []
    num_new = 0
    for word in title_words(title):
        if word in numbers:
            rewritten.append(numbers[word])
        elif num_new < MAX_NEW_WORDS:
            rewritten.append(word)
            num_new += 1
    if subject and num_new == len(rewritten):
        rewritten.append(subject)
    return " ".join(dict.fromkeys(rewritten))
