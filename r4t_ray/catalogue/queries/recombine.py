"""Additional training queries. Each joins the first words of one training query with the last words of another.

A model that sees few distinct queries memorises them. Recombined queries are similar to real ones, and any number can
be made. They have no reference set. Expected coverage does not need one because it uses similar sets, and the synthesis
of pairs does not need one either.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from r4t_ray.catalogue.queries.splits import normalise_title
from r4t_ray.catalogue.queries.words import composed, only_words

MAX_WORDS = 8
TRIES = 20


def recombine(texts: Sequence[str], count: int, seed: int, held_out: Iterable[str] = ()) -> list[str]:
    """Make at most ``count`` distinct texts that are not in ``texts``, sorted. There are fewer if no more are found.

    A text that is in ``held_out`` after normalisation is not made.

    >>> recombine(["lemon soup", "beef"], 20, seed=0)
    ['beef lemon soup', 'beef soup', 'lemon beef', 'lemon soup beef']
    """
    rng = random.Random(seed)
    words = [only_words(composed(text)).split() for text in texts]
    words = [parts for parts in words if parts]
    known, hidden = set(map(composed, texts)), {normalise_title(text) for text in held_out}
    made: set[str] = set()
    for _ in range(TRIES * count if words else 0):
        if len(made) == count:
            break
        first, second = rng.choice(words), rng.choice(words)
        joined = first[: rng.randint(1, len(first))] + second[-rng.randint(1, len(second)) :]
        text = " ".join(joined)
        fits = len(joined) <= MAX_WORDS and len(set(joined)) == len(joined)
        if fits and text not in known and normalise_title(text) not in hidden:
            made.add(text)
    return sorted(made)
