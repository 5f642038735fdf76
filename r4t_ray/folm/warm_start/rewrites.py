"""Rewrites of a wish: the words that a pool entry shares with it, and a few of the entry's other words.

The compact prompt numbers the words of the wish, and a rewrite names a shared word by its number
(``policy.prompt.with_words``).
"""

from __future__ import annotations

from r4t_ray.catalogue.queries.themes import title_words
from r4t_ray.folm.policy.prompt import words_of

MAX_NEW_WORDS = 3
"""Words that a rewrite adds to the words of the wish, as the prompt of the paper asks."""


def rewrite(wish: str, title: str) -> str:
    """The title in the form of an answer to the compact prompt: numbers for words of the wish, and the first new words.

    A title without words gives "".

    >>> rewrite("banana pie", "Grandma's Best Strawberry Cream Pie")
    "grandma's best strawberry 2"
    """
    number_of: dict[str, str] = {}
    for number, word in enumerate(words_of(wish), 1):
        for part in title_words(word):
            number_of.setdefault(part, str(number))
    rewritten: list[str] = []
    num_new = 0
    for word in title_words(title):
        if word in number_of:
            rewritten.append(number_of[word])
        elif num_new < MAX_NEW_WORDS:
            rewritten.append(word)
            num_new += 1
    return " ".join(dict.fromkeys(rewritten))
