"""More queries: the head of one training query and the tail of another.

A model of few distinct queries learns them by heart; recombined ones lie near the real ones and are as many as wished.
They have no reference, which nothing needs that goes by what similar sets hold, nor the synthesis of pairs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from r4t_ray.catalogue.queries import Query
from r4t_ray.types import Task

MAX_WORDS = 8
TRIES = 20


def recombine(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """At most ``count`` new texts, each once and none of ``texts``; fewer where few can be made of them.

    >>> recombine(["lemon soup", "beef"], 20, seed=0)
    ['beef lemon soup', 'beef soup', 'lemon beef', 'lemon soup beef']
    """
    rng = random.Random(seed)
    words = [re.sub(r"[^\w\s'-]", " ", text).split() for text in texts]
    words = [parts for parts in words if parts]
    known = set(texts)
    made: set[str] = set()
    for _ in range(TRIES * count if words else 0):
        if len(made) == count:
            break
        first, second = rng.choice(words), rng.choice(words)
        joined = first[: rng.randint(1, len(first))] + second[-rng.randint(1, len(second)) :]
        text = " ".join(joined)
        if len(joined) <= MAX_WORDS and len(set(joined)) == len(joined) and text not in known:
            made.add(text)
    return sorted(made)


def recombined_queries(task: Task, queries: Sequence[Query], count: int, seed: int) -> list[Query]:
    """``recombine`` on the texts of a task's training queries, as training queries of their own."""
    made = recombine([query.text for query in queries], count, seed)
    return [Query(f"{task}:recombined:{number}", task, text, (), "train") for number, text in enumerate(made)]
