"""The format of every dataset in memory: items, and sets of items."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from r4t_ray.errors import DataError
from r4t_ray.ids import ID_RULE, id_fault
from r4t_ray.types import Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One entry that can be retrieved. Its ``text`` is embedded."""

    item_id: str
    text: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemSet:
    """A set of items that a person put together.

    ``published_split`` is the split that the authors of the dataset chose. If it is None, the hash of the title
    determines the split. ``categories`` name the kind of the set. Themes are made from them.
    """

    set_id: str
    title: str
    description: str
    item_ids: tuple[str, ...]
    published_split: Split | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """A dataset in memory."""

    items: tuple[Item, ...]
    sets: tuple[ItemSet, ...]

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of all sets, in the order of the sets, with repeats."""
        return tuple(name for row in self.sets for name in row.categories)


def each_item_as_set(items: tuple[Item, ...]) -> tuple[ItemSet, ...]:
    """The sets of a catalogue that has only items: each item is a set of its own, with the item's id and text."""
    return tuple(
        ItemSet(set_id=item.item_id, title=item.text, description="", item_ids=(item.item_id,)) for item in items
    )


def are_items(sets: Iterable[ItemSet]) -> bool:
    """Whether each set is an item, as ``each_item_as_set`` makes them."""
    return all(row.item_ids == (row.set_id,) for row in sets)


def sample_sets(catalogue: Catalogue, count: int | None) -> Catalogue:
    """Reduce a catalogue to at most ``count`` sets and their items, in the same order. None keeps everything.

    The sets whose ids have the lowest hashes are kept. The shares of the splits therefore stay about the same, and the
    sets of a smaller ``count`` are a subset of the sets of a larger one.
    """
    if count is None or count >= len(catalogue.sets):
        return catalogue
    ranked = sorted(catalogue.sets, key=lambda row: hashlib.sha256(row.set_id.encode()).digest())
    kept = {row.set_id for row in ranked[:count]}
    sets = tuple(row for row in catalogue.sets if row.set_id in kept)
    named = {item_id for row in sets for item_id in row.item_ids}
    return Catalogue(items=tuple(item for item in catalogue.items if item.item_id in named), sets=sets)


def check_catalogue(
    catalogue: Catalogue, where: str, item_places: Iterable[str] = (), set_places: Iterable[str] = ()
) -> Catalogue:
    """Check a catalogue and return it unchanged.

    Args:
        catalogue: The items and sets to check.
        where: Name of the dataset, for the message about an empty one.
        item_places: Place of each item ("items.jsonl:3"), for messages. By default items are named by their ids.
        set_places: Place of each set. By default sets are named by their ids. Both are read several times.

    Raises:
        DataError: The catalogue is empty, an id breaks the rule or occurs twice, a text is
            empty, or a set names a missing item.
    """
    check_some(where, "items", catalogue.items)
    check_some(where, "sets", catalogue.sets)
    item_places = item_places or [f"item '{item.item_id}'" for item in catalogue.items]
    set_places = set_places or [f"set '{row.set_id}'" for row in catalogue.sets]
    check_ids("item_id", [item.item_id for item in catalogue.items], item_places)
    check_ids("set_id", [row.set_id for row in catalogue.sets], set_places)
    check_texts("text", ((item.text, place) for item, place in zip(catalogue.items, item_places, strict=True)))
    check_texts("title", ((row.title, place) for row, place in zip(catalogue.sets, set_places, strict=True)))
    known = {item.item_id for item in catalogue.items}
    for row, place in zip(catalogue.sets, set_places, strict=True):
        missing = [item_id for item_id in row.item_ids if item_id not in known]
        if missing:
            raise DataError(
                place,
                f"set '{row.set_id}' with item '{missing[0]:.200}', which no item has",
                "item_ids of items that exist",
                several_in_one(missing[0], known) or "add the item or remove it from the set",
            )
    return catalogue


def several_in_one(name: str, known: Collection[str]) -> str | None:
    """The fix for a cell that holds several ids of items, or None if it does not.

    >>> several_in_one("a, b", {"a", "b"})
    'write a JSON list such as ["a", "b"], or put ; between the ids'
    """
    for separator in (",", "|", " ", "/"):
        parts = [part.strip() for part in name.split(separator)]
        if len(parts) > 1 and all(part in known for part in parts):
            return f'write a JSON list such as ["{parts[0]}", "{parts[1]}"], or put ; between the ids'
    return None


def check_some(where: str, kind: str, rows: Sequence[object]) -> None:
    """Raise DataError if ``rows`` is empty."""
    if not rows:
        raise DataError(where, f"no {kind}", f"at least one of the {kind}", "check the paths of the files")


def check_ids(name: str, ids: Sequence[str], places: Iterable[str]) -> None:
    """Raise DataError if an id breaks the rule of ``id_fault`` or occurs twice. ``places`` has the place of each id."""
    seen: set[str] = set()
    for key, place in zip(ids, places, strict=True):
        if not key.strip():
            raise DataError(place, f"an empty {name}", f"a {name}", f"give it a {name}")
        if fault := id_fault(key):
            raise DataError(place, f"{name} {key!r:.60} {fault}", ID_RULE, "change the id, here and where sets name it")
        if key in seen:
            first = next(islice(places, ids.index(key), None))
            raise DataError(
                place,
                f"{name} '{key}' again, after {first}",
                f"each {name} once",
                "rename or remove one of the two",
            )
        seen.add(key)


def check_texts(name: str, texts: Iterable[tuple[str, str]]) -> None:
    """Raise DataError if one of the texts, each given with its place, is empty."""
    for text, place in texts:
        if not text.strip():
            raise DataError(place, f"an empty {name}", f"a {name} with words", f"write its {name} or remove the line")
