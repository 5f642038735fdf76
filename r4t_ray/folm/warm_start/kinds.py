"""Answers to WSCR (weakly supervised compositional retrieval) where items do not recur: kinds of items.

Similar training sets hold other items then, so their votes find nothing. An answer covers the query's own reference
instead. Its sub-queries are the query, phrases of the reference's items that several training sets share ("drop
earrings", or a category), and a word of the query with the kind of an item ("summer dresses").
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Item, Query, load_items, recombine
from r4t_ray.catalogue.queries.relevance import core_words, words_of
from r4t_ray.encoders import load_encoder
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.index import load_index
from r4t_ray.types import Array

LEAST_SETS = 2
"""A phrase of fewer training sets names one set, not a kind of items."""
MAX_PHRASE_WORDS = 2
MAX_CATEGORY_WORDS = 4
"""Longest text of an attribute that counts as a phrase."""
REACH = 10
"""A sub-query gets credit for an item that is at most REACH * ``num_hits`` places from the first."""
KEPT_SHARE = 0.5
"""Share of the phrases that one example may use, so that the examples of a query differ."""


class Wordings(NamedTuple):
    """The sub-queries that could find the items of one training set.

    Attributes:
        texts: C sub-queries.
        words: The word of the query that each of them holds; "" without one.
        credit_CR: How well each finds the R items of the reference, 0 to 1.
    """

    texts: list[str]
    words: list[str]
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
    wordings = find_wordings(workspace, sets, num_hits)
    rng = random.Random(seed)
    for _ in range(config.num_passes.wscr):
        for query, own in zip(sets, wordings, strict=True):
            yield query.text, answer(query.text, [own], k, rng)
    for number in range(config.num_recombined.wscr):
        first, second = rng.randrange(len(sets)), rng.randrange(len(sets))
        for text in recombine([sets[first].text, sets[second].text], 1, seed + number):
            yield text, answer(text, [wordings[first], wordings[second]], k, rng)


def answer(text: str, wordings: Sequence[Wordings], k: int, rng: random.Random) -> list[str]:
    """At most k sub-queries, picked greedily for what they add to the credit of all references.

    Sub-queries with a word that the query does not hold are left out, and a random part of the others. The query itself
    may always be picked.
    """
    held = {"", *core_words(text)}
    texts, own_credits, credits = [text.lower()], [], []
    for own in wordings:
        chosen = [c for c in range(1, len(own.texts)) if own.words[c] in held and rng.random() < KEPT_SHARE]
        texts += [own.texts[c] for c in chosen]
        own_credits.append(own.credit_CR[0] / len(wordings))  # a recombined query holds a part of each query
        credits.append(own.credit_CR[chosen])
    picked = greedy_credit(np.concatenate([[np.concatenate(own_credits)], block_diag(*credits)]), k) or [0]
    return sorted({texts[c] for c in picked})


def greedy_credit(credit_CR: Array, k: int) -> list[int]:
    """Pick at most k of C sub-queries, each time the one that adds most to the chance that the R items are found.

    The chance that an item is found is 1 - the product of (1 - credit) over the picked sub-queries.

    >>> greedy_credit(np.array([[0.5, 0.5], [0.9, 0.0], [0.8, 0.0]]), 2)
    [0, 1]
    """
    left_R = np.ones(credit_CR.shape[1])
    picked: list[int] = []
    for _ in range(min(k, len(credit_CR))):
        gain_C = credit_CR @ left_R
        best = int(gain_C.argmax())
        if gain_C[best] <= 0:
            break
        picked.append(best)
        left_R *= 1 - credit_CR[best]
        credit_CR = np.where(np.arange(len(credit_CR))[:, None] == best, 0, credit_CR)
    return picked


def find_wordings(workspace: Workspace, sets: Sequence[Query], num_hits: int) -> list[Wordings]:
    """The wordings of each training query, searched in the pool. The first wording is the query itself.

    The credit of a wording for an item is the chance that one of its ``num_hits`` hits is this item, if they were drawn
    from the items that are at least as near: min(1, num_hits / rank). So a wide kind gets little credit for each item.
    """
    index = load_index(workspace, "wscr")
    row_of = {name: row for row, name in enumerate(index.ids)}
    phrases_of = {item.item_id: phrases(item) for item in load_items(workspace)}
    counts = Counter(
        phrase for query in sets for phrase in {phrase for name in query.item_ids for phrase in phrases_of[name]}
    )
    listed = [wordings_of(query, [phrases_of[name] for name in query.item_ids], counts) for query in sets]
    texts = list(dict.fromkeys(text for pairs in listed for text, _ in pairs))
    place_of = {text: place for place, text in enumerate(texts)}
    emb_TD = load_encoder(workspace.artifact("encoder").path / "model").encode(texts)
    _, hits_TK = index.search(emb_TD, min(REACH * num_hits, index.size))
    credit_K = np.minimum(1.0, num_hits / np.arange(1, hits_TK.shape[1] + 1)).astype(np.float32)
    found = []
    for query, pairs in zip(sets, listed, strict=True):
        rows_R = np.array(sorted({row_of[name] for name in query.item_ids}))
        hits_CK = hits_TK[[place_of[text] for text, _ in pairs]]
        credit_CR = ((hits_CK[:, :, None] == rows_R) * credit_K[None, :, None]).sum(axis=1, dtype=np.float32)
        found.append(Wordings([text for text, _ in pairs], [word for _, word in pairs], credit_CR))
    return found


def phrases(item: Item) -> list[str]:
    """The words of an item's text, pairs of neighbouring words, and the short texts among its attributes.

    >>> phrases(Item(item_id="i", text="Blue denim jeans", attributes={"category": "Skinny Jeans", "price": 3}))
    ['blue', 'denim', 'jeans', 'blue denim', 'denim jeans', 'skinny jeans']
    """
    words = [word for word in core_words(item.text) if len(word) > 2]
    runs = [
        " ".join(words[start : start + length])
        for length in range(1, MAX_PHRASE_WORDS + 1)
        for start in range(len(words) - length + 1)
    ]
    named = [" ".join(words_of(value)) for value in item.attributes.values() if isinstance(value, str)]
    runs += [text for text in named if 0 < len(text.split()) <= MAX_CATEGORY_WORDS]
    return list(dict.fromkeys(runs))


def wordings_of(query: Query, item_phrases: Sequence[Sequence[str]], counts: Counter[str]) -> list[tuple[str, str]]:
    """The distinct sub-queries of one training query, each with the word of the query that it holds.

    Args:
        query: The query.
        item_phrases: The phrases of each item of its reference.
        counts: Number of training sets that hold each phrase.
    """
    found = {query.text.lower(): ""}
    for own in item_phrases:
        shared = [phrase for phrase in own if counts[phrase] >= LEAST_SETS]
        found |= {phrase: "" for phrase in shared if phrase not in found}
        if shared:
            kind = max(shared, key=lambda phrase: counts[phrase])
            combined = {f"{word} {kind}": word for word in core_words(query.text) if word not in kind}
            found |= {text: word for text, word in combined.items() if text not in found}
    return list(found.items())
