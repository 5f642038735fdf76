"""Makes catalogues of products and outfits of any size, as JSON lines.

Texts have 5 to 22 words. The popularity of items follows Zipf's law, and so do the words of the titles: a larger
catalogue has more distinct words. The same size gives the same files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator

from r4t_ray.types import Rows

ITEMS_OF_A_SET, ITEMS_PER_SET = 6, 5
"""Items that a set names, and items of the catalogue for each set."""
WRITTEN_ROWS = 10_000
MOST_WORDS = 50_000
FLATTENING = 10
"""Popularity is proportional to 1 / (rank + FLATTENING), so the first item is in about 5% of the sets."""

KINDS = "shirt dress jacket skirt jumper coat scarf hat belt bag watch necklace lamp chair rug mug kettle desk"
STYLES = "casual classic slim oversized vintage sporty elegant rustic modern minimal bold soft warm light"
COLOURS = "red blue green black white grey navy beige pink yellow olive brown purple orange"
MATERIALS = "cotton linen wool silk denim leather oak steel glass ceramic bamboo nylon"
OCCASIONS = "office wedding beach winter summer autumn weekend travel garden party kitchen evening"
NOUNS = "outfit look set room collection bundle"
FEATURES = (
    "with two pockets",
    "with a zip",
    "made from recycled fibres",
    "for everyday use",
    "easy to wash",
    "in a gift box",
    "with a matching cover and a spare button",
    "that fits small and large homes",
)


def write_products(folder: Path, num_items: int) -> tuple[Path, Path]:
    """Write ``items.jsonl`` and ``sets.jsonl`` with a fifth as many sets; returns their paths.

    Args:
        folder: An existing folder.
        num_items: At least ITEMS_OF_A_SET.
    """
    rng = np.random.default_rng(num_items)
    words = made_words(MOST_WORDS)
    items, sets = folder / "items.jsonl", folder / "sets.jsonl"
    _write(items, num_items, lambda start, num: item_records(rng, words, start, num))
    _write(sets, max(1, num_items // ITEMS_PER_SET), lambda start, num: set_records(rng, words, start, num, num_items))
    return items, sets


def item_records(rng: Generator, words: Sequence[str], start: int, num: int) -> Iterator[dict[str, object]]:
    """The items p{start} to p{start + num - 1}, each with a text, a category, a brand and a price."""
    brands = zipf_rows(rng, 2_000, num)
    picks_N4 = rng.integers(0, 2**31, (num, 4))
    features_NF = rng.integers(0, len(FEATURES), (num, 3))
    counts, prices = rng.integers(0, 4, num), rng.integers(5, 500, num)
    for row in range(num):
        style, colour, material, kind = picked((STYLES, COLOURS, MATERIALS, KINDS), picks_N4[row])
        features = " ".join(FEATURES[place] for place in features_NF[row, : counts[row]])
        brand = words[brands[row]].title()
        text = f"{brand} {style} {colour} {material} {kind} {start + row} {features}".strip()
        attributes = {"category": kind, "brand": brand, "price": int(prices[row])}
        yield {"item_id": f"p{start + row}", "text": text, "attributes": attributes}


def set_records(
    rng: Generator, words: Sequence[str], start: int, num: int, num_items: int
) -> Iterator[dict[str, object]]:
    """The sets s{start} to s{start + num - 1}, each with a title, a short description and popular items."""
    named = zipf_rows(rng, MOST_WORDS, num)
    picks_N4 = rng.integers(0, 2**31, (num, 4))
    drawn_NI = zipf_rows(rng, num_items, (num, 3 * ITEMS_OF_A_SET))
    for row in range(num):
        style, colour, occasion, noun = picked((STYLES, COLOURS, OCCASIONS, NOUNS), picks_N4[row])
        chosen = list(dict.fromkeys(drawn_NI[row].tolist()))[:ITEMS_OF_A_SET]
        yield {
            "set_id": f"s{start + row}",
            "title": f"{style} {words[named[row]]} {occasion} {noun}".title(),
            "description": f"A {colour} {noun} for the {occasion}",
            "item_ids": [f"p{item}" for item in chosen],
        }


def picked(lists: Sequence[str], picks: Rows) -> Iterator[str]:
    """One word of each list. A pick is a number of any size."""
    return (words[pick % len(words)] for words, pick in zip(map(str.split, lists), picks, strict=True))


def zipf_rows(rng: Generator, num: int, shape: int | tuple[int, int]) -> Rows:
    """Rows below ``num``; row r is drawn with a probability proportional to 1 / (r + FLATTENING)."""
    ends = np.log((np.arange(num + 1) + FLATTENING) / FLATTENING)
    rows = np.searchsorted(ends, rng.random(shape) * ends[-1], side="right") - 1
    return np.asarray(np.minimum(rows, num - 1), dtype=np.int64)


def made_words(num: int) -> list[str]:
    """Distinct words of three syllables that no language has to know, at most 70^3 of them.

    >>> made_words(3)
    ['bababa', 'bepodu', 'bogego']
    """
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    size = len(syllables)
    places = (np.arange(num) * 7_919 % size**3).tolist()
    return ["".join(syllables[place // size**power % size] for power in (2, 1, 0)) for place in places]


def _write(path: Path, num: int, records: Callable[[int, int], Iterable[dict[str, object]]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, num, WRITTEN_ROWS):
            file.writelines(json.dumps(each) + "\n" for each in records(start, min(WRITTEN_ROWS, num - start)))
