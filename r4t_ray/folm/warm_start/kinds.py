"""Answers to WSCR (weakly supervised compositional retrieval) where items do not recur: the query with kinds of items.

Similar training sets hold other items then, so their votes find nothing. An answer covers the query's own reference
instead. Its sub-queries are a kind with words of the query ("sandals summer party"). A kind is a phrase that items of
several training sets share: a word or two of their texts, or a category. Kinds without the query's words find the items
of any query: on Polyvore's validation outfits they find a quarter as many held-out items.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Item, Query, load_items, recombine
from r4t_ray.catalogue.queries.splits import written_title
from r4t_ray.catalogue.queries.themes import written_words
from r4t_ray.catalogue.queries.unspaced import phrase_parts
from r4t_ray.encoders import load_encoder
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.index import load_index
from r4t_ray.types import Array

LEAST_SETS = 2
"""A phrase of fewer training sets names one set, not a kind of items."""
MAX_PHRASE_WORDS = 2
MAX_CATEGORY_WORDS = 4
"""Longest text of an attribute that counts as a phrase."""
MAX_QUERY_WORDS = 3
"""Words of the query that a sub-query holds."""
KINDS_OF_ITEM = 4
"""Kinds of an item that are searched, the ones of most training sets."""
REACH = 10
"""A sub-query gets credit for an item that is at most REACH * ``num_hits`` places from the first."""
KEPT_SHARE = 0.5
"""Share of the kinds that one example may use, so that the examples of a query differ."""


class Kinds(NamedTuple):
    """The kinds of the items in one training set.

    Attributes:
        names: C kinds. The first is "", the query alone.
        credit_CR: How well the query with each kind finds the R items of the reference, 0 to 1.
    """

    names: list[str]
    credit_CR: Array


def kinds_answers(
    workspace: Workspace, config: WarmStartConfig, sets: list[Query], *, k: int, num_hits: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Sub-queries that cover each query's reference, in alphabetical order.

    A recombined query is answered for the references of both queries that it is made of.

    Args:
        workspace: Holds the finished catalogue, encoder and index.
        config: The number of passes and of recombined queries.
        sets: Training queries with references.
        k: Most sub-queries of an answer.
        num_hits: Items that one sub-query retrieves.
        seed: Seeds the phrases of each example and the recombined queries.
    """
    kinds = find_kinds(workspace, sets, num_hits)
    rng = random.Random(seed)
    for _ in range(config.num_passes.wscr):
        for query, own in zip(sets, kinds, strict=True):
            yield query.text, answer(query.text, [own], k, rng)
    for number in range(config.num_recombined.wscr):
        first, second = rng.randrange(len(sets)), rng.randrange(len(sets))
        for text in recombine([sets[first].text, sets[second].text], 1, seed + number):
            yield text, answer(text, [kinds[first], kinds[second]], k, rng)


def answer(text: str, kinds: Sequence[Kinds], k: int, rng: random.Random) -> list[str]:
    """At most k sub-queries, picked greedily for what they add to the credit of all references.

    The query alone may always be picked, and a random part of the kinds.
    """
    names, alone, credits = [""], [], []
    for own in kinds:
        chosen = [c for c in range(1, len(own.names)) if rng.random() < KEPT_SHARE]
        names += [own.names[c] for c in chosen]
        alone.append(own.credit_CR[0] / len(kinds))  # a recombined query holds a part of each query
        credits.append(own.credit_CR[chosen])
    picked = greedy_credit(np.concatenate([[np.concatenate(alone)], block_diag(*credits)]), k)
    return sorted({with_kind(text, names[c]) for c in picked})


def with_kind(text: str, kind: str) -> str:
    """The sub-query for a query and a kind: the kind, then the first words of the query that it does not hold.

    The kind comes first, because a long answer keeps the first words of its sub-queries.

    >>> with_kind("The Summer Party!", "party shoes"), with_kind("The Summer Party!", "")
    ('party shoes summer', 'summer party')
    """
    words = [word for word in written_words(text) if word not in kind.split()][:MAX_QUERY_WORDS]
    return " ".join([kind, *words]).strip() or text.lower()


def greedy_credit(credit_CR: Array, k: int) -> list[int]:
    """Pick at most k of C sub-queries, each time the one that adds most to the chance that the R items are found.

    The chance that an item is found is 1 - the product of (1 - credit) over the picked sub-queries. If none adds
    anything, the first ones that are left fill up.

    >>> greedy_credit(np.array([[0.5, 0.5], [0.9, 0.0], [0.8, 0.0]]), 2)
    [0, 1]
    """
    left_R = np.ones(credit_CR.shape[1])
    picked: list[int] = []
    for _ in range(min(k, len(credit_CR))):
        gain_C = credit_CR @ left_R
        gain_C[picked] = -1.0
        picked.append(int(gain_C.argmax()))
        left_R *= 1 - credit_CR[picked[-1]]
    return picked


def find_kinds(workspace: Workspace, sets: Sequence[Query], num_hits: int) -> list[Kinds]:
    """The kinds of each training query's reference, each searched in the pool together with the query.

    The credit of a sub-query for an item is the chance that one of its ``num_hits`` hits is this item, if they were
    drawn from the items that are at least as near: min(1, num_hits / rank). So a wide kind gets little credit.
    """
    index = load_index(workspace, "wscr")
    row_of = {name: row for row, name in enumerate(index.ids)}
    phrases_of = {item.item_id: phrases(item) for item in load_items(workspace)}
    counts = Counter(
        phrase for query in sets for phrase in {phrase for name in query.item_ids for phrase in phrases_of[name]}
    )
    names = [kinds_of([phrases_of[name] for name in query.item_ids], counts) for query in sets]
    texts_of = [[with_kind(query.text, name) for name in own] for query, own in zip(sets, names, strict=True)]
    texts = list(dict.fromkeys(chain.from_iterable(texts_of)))
    place_of = {text: place for place, text in enumerate(texts)}
    emb_TD = load_encoder(workspace.artifact("encoder").path / "model").encode(texts)
    _, hits_TK = index.search(emb_TD, min(REACH * num_hits, index.size))
    credit_K = np.minimum(1.0, num_hits / np.arange(1, hits_TK.shape[1] + 1)).astype(np.float32)
    found = []
    for query, own, own_texts in zip(sets, names, texts_of, strict=True):
        rows_R = np.array(sorted({row_of[name] for name in query.item_ids}))
        hits_CK = hits_TK[[place_of[text] for text in own_texts]]
        credit_CR = ((hits_CK[:, :, None] == rows_R) * credit_K[None, :, None]).sum(axis=1, dtype=np.float32)
        found.append(Kinds(own, credit_CR))
    return found


def phrases(item: Item) -> list[str]:
    """The words of an item's text, pairs of neighbouring words, and the short texts among its attributes.

    Where the text is in a script that writes no spaces, the parts of its phrases follow.

    >>> phrases(Item(item_id="i", text="Blue denim jeans", attributes={"category": "Skinny Jeans", "price": 3}))
    ['blue', 'denim', 'jeans', 'blue denim', 'denim jeans', 'skinny jeans']
    """
    words = written_words(item.text)
    runs = [
        " ".join(words[start : start + length])
        for length in range(1, MAX_PHRASE_WORDS + 1)
        for start in range(len(words) - length + 1)
    ]
    named = [written_title(value) for value in item.attributes.values() if isinstance(value, str)]
    runs += [text for text in named if 0 < len(text.split()) <= MAX_CATEGORY_WORDS]
    return list(dict.fromkeys([*runs, *phrase_parts(written_title(item.text))]))


def kinds_of(item_phrases: Sequence[Sequence[str]], counts: Counter[str]) -> list[str]:
    """The distinct kinds of a reference after "", the query alone.

    Args:
        item_phrases: The phrases of each item of the reference.
        counts: Number of training sets that hold each phrase.
    """
    found = [""]
    for own in item_phrases:
        shared = [phrase for phrase in own if counts[phrase] >= LEAST_SETS]
        found += sorted(shared, key=lambda phrase: -counts[phrase])[:KINDS_OF_ITEM]
    return list(dict.fromkeys(found))
