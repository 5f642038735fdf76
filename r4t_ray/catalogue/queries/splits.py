"""Splits by hash. A title is in the same split in every run, dataset and process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from r4t_ray.catalogue.queries.words import folded, lower, only_words
from r4t_ray.types import Split

IN_BRACKETS = re.compile(r"[(（][^()（）]*[)）]")
ROMAN_SUFFIX = re.compile(r"\s+(?:i{1,3}|iv|v|vi{1,3})$")
HELD_OUT: tuple[Split, ...] = ("val", "test")
FEWEST_KEYS = 10
"""From this number of keys on the ratio 8:1:1 gives each held-out split a key."""


def normalise_title(title: str) -> str:
    """The words of a title for comparisons: folded, without brackets, punctuation and a final roman numeral.

    A title without words, such as one of emoji, is its own key.

    >>> normalise_title("Crème Brûlée (French Custard) II"), normalise_title("ガラスの器!")
    ('creme brulee', 'ガラスの器')
    """
    return _words_of_title(folded(title)) or title.lower().strip()


def written_title(title: str) -> str:
    """The same words in lower case as people wrote them.

    >>> written_title("Crème Brûlée (French Custard) II")
    'crème brûlée'
    """
    return _words_of_title(lower(title)) or title.lower().strip()


def split_of(key: str) -> Split:
    """The split of a key by its sha256, in the ratio 8:1:1 (train, val, test). Equal keys get the same split."""
    bucket = _number_of(key) % 10
    return "val" if bucket == 8 else "test" if bucket == 9 else "train"


def filled_splits(keys: Iterable[str]) -> dict[str, Split]:
    """The split of each key by its hash. A held-out split that is empty gets one key of training, by the hash too.

    With fewer than FEWEST_KEYS keys none moves: a held-out key would take more than its share of training.

    >>> [filled_splits("abcdefghij"[:number])["i"] for number in (9, 10)], split_of("i")
    (['train', 'val'], 'train')
    """
    splits = {key: split_of(key) for key in keys}
    if len(splits) >= FEWEST_KEYS:
        for split in HELD_OUT:
            if split not in splits.values():
                splits[max((key for key in splits if splits[key] == "train"), key=_number_of)] = split
    return splits


def _number_of(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _words_of_title(text: str) -> str:
    return ROMAN_SUFFIX.sub("", " ".join(only_words(IN_BRACKETS.sub(" ", text)).split()))
