"""Dishes as a catalogue: a dish is a set, and a cleaned ingredient name is an item.

Names that differ only in accents or punctuation are one item. The text of the item is its most frequent spelling.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet
from r4t_ray.catalogue.datasets.ingredients import clean_ingredient
from r4t_ray.catalogue.queries.themes import Templates
from r4t_ray.catalogue.queries.words import folded, only_words

FOOD_TEMPLATES = Templates(
    types=("{}", "easy {}", "{} for a dinner party", "{} from around the world"),
    modifiers=("{}", "{} dishes", "something with {}"),
    accents=False,
)


class Dish(NamedTuple):
    """A recipe. ``lines`` hold one ingredient each, with its quantity. The description is the joined categories."""

    dish_id: str
    title: str
    categories: tuple[str, ...]
    lines: Sequence[str]


def catalogue_of_dishes(dishes: Sequence[Dish]) -> Catalogue:
    """The sets in the order of ``dishes``, and all their items by id."""
    names = [[name for line in dish.lines if (name := clean_ingredient(line))] for dish in dishes]
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name in (name for of_dish in names for name in of_dish):
        spellings[ingredient_id(name)][name] += 1
    items = tuple(
        Item(item_id=item_id, text=counts.most_common(1)[0][0]) for item_id, counts in sorted(spellings.items())
    )
    sets = tuple(
        ItemSet(
            set_id=dish.dish_id,
            title=dish.title,
            description=", ".join(dish.categories),
            item_ids=tuple(dict.fromkeys(map(ingredient_id, of_dish))),
            categories=dish.categories,
        )
        for dish, of_dish in zip(dishes, names, strict=True)
    )
    return Catalogue(items=items, sets=sets)


def ingredient_id(name: str) -> str:
    """The folded words of a name, joined by hyphens.

    >>> ingredient_id("crème fraîche"), ingredient_id("half-and-half"), ingredient_id("हल्दी")
    ('creme-fraiche', 'half-and-half', 'हल्दी')
    """
    return "-".join(only_words(folded(name).lower().replace("'", "")).replace("-", " ").split())
