"""What every dataset is read into: items, and sets of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.errors import DataError
from r4t_ray.types import Split


@dataclass(frozen=True)
class Item:
    """One thing that can be retrieved; ``text`` is what is embedded."""

    item_id: str
    text: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemSet:
    """A collection that somebody put together.

    ``published_split`` is the split in which the dataset was published; None leaves it to the hash of the title.
    ``categories`` are the set's own, to make themes of.
    """

    set_id: str
    title: str
    description: str
    item_ids: tuple[str, ...]
    published_split: Split | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """A dataset in memory."""

    items: tuple[Item, ...]
    sets: tuple[ItemSet, ...]

    @property
    def categories(self) -> tuple[str, ...]:
        """Those of all sets, one after the other."""
        return tuple(name for row in self.sets for name in row.categories)


class DatasetSettings(Settings):
    """Settings that every dataset has, and what they can do."""

    staple_share: float = Field(default=0.03, gt=0, le=1)
    """WSCR references leave out items that occur in more than this share of the training sets."""
    min_reference: int = Field(default=3, ge=1)
    """A set with fewer items left makes no WSCR query."""
    max_sets: int | None = Field(default=None, ge=1)
    """Keep at most so many sets, and the items that they name; null keeps all."""

    def sources(self) -> dict[str, str]:
        """Name and sha256 of every input file; when one changes, ingest runs again."""
        raise NotImplementedError

    def read(self) -> Catalogue:
        """Read the inputs; raises DataError naming file and line."""
        raise NotImplementedError


def sample_sets(catalogue: Catalogue, count: int | None) -> Catalogue:
    """A catalogue of at most ``count`` sets and the items that they name, in their order; None keeps it as it is.

    Kept are the sets whose ids hash lowest: about as many of each split as there were, and a smaller ``count`` keeps a
    part of what a larger one does.
    """
    if count is None or count >= len(catalogue.sets):
        return catalogue
    ranked = sorted(catalogue.sets, key=lambda row: hashlib.sha256(row.set_id.encode()).digest())
    kept = {row.set_id for row in ranked[:count]}
    sets = tuple(row for row in catalogue.sets if row.set_id in kept)
    named = {item_id for row in sets for item_id in row.item_ids}
    return Catalogue(tuple(item for item in catalogue.items if item.item_id in named), sets)


def check_catalogue(
    catalogue: Catalogue, where: str, item_places: Sequence[str] = (), set_places: Sequence[str] = ()
) -> Catalogue:
    """The catalogue itself when it can be used.

    Args:
        catalogue: What was read.
        where: The dataset, for the message about an empty one.
        item_places: Where each item stands ("items.jsonl:3"), for messages; ids by default.
        set_places: Likewise for sets.

    Raises:
        DataError: Nothing in it, a duplicate id, an empty text, or a set that names a missing item.
    """
    check_some(where, "items", catalogue.items)
    check_some(where, "sets", catalogue.sets)
    item_places = item_places or [f"item '{item.item_id}'" for item in catalogue.items]
    set_places = set_places or [f"set '{row.set_id}'" for row in catalogue.sets]
    _check_ids("item_id", [item.item_id for item in catalogue.items], item_places)
    _check_ids("set_id", [row.set_id for row in catalogue.sets], set_places)
    _check_texts("text", ((item.text, place) for item, place in zip(catalogue.items, item_places, strict=True)))
    _check_texts("title", ((row.title, place) for row, place in zip(catalogue.sets, set_places, strict=True)))
    known = {item.item_id for item in catalogue.items}
    for row, place in zip(catalogue.sets, set_places, strict=True):
        missing = [item_id for item_id in row.item_ids if item_id not in known]
        if missing:
            raise DataError(
                place,
                f"set '{row.set_id}' with item '{missing[0]}', which no item has",
                "item_ids of items that exist",
                "add the item or take it out of the set",
            )
    return catalogue


def check_some(where: str, kind: str, rows: Sequence[object]) -> None:
    """Raise DataError when there are no rows of the kind."""
    if not rows:
        raise DataError(where, f"no {kind}", f"at least one of the {kind}", "check that the right files were named")


def _check_ids(name: str, ids: Sequence[str], places: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for key, place in zip(ids, places, strict=True):
        if not key.strip():
            raise DataError(place, f"an empty {name}", f"a {name}", f"give it a {name}")
        if key in first:
            raise DataError(
                place,
                f"{name} '{key}' again, after {first[key]}",
                f"each {name} once",
                "rename or remove one of the two",
            )
        first[key] = place


def _check_texts(name: str, texts: Iterable[tuple[str, str]]) -> None:
    for text, place in texts:
        if not text.strip():
            raise DataError(
                place, f"an empty {name}", f"a {name} with words in it", f"write its {name} or remove the line"
            )
