"""``sets``: your own catalogue, from files of items and, usually, of sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet, check_catalogue, each_item_as_set
from r4t_ray.catalogue.datasets.settings import DatasetSettings
from r4t_ray.catalogue.records import (
    Fields,
    Record,
    VectorBatch,
    id_field,
    ids_field,
    object_field,
    read_records,
    read_vectors,
    sha256_of_records,
    text_field,
)
from r4t_ray.catalogue.records.places import Places

ITEM_FIELDS = Fields(required=("item_id", "text"), optional=("attributes",))
EMBEDDING_FIELD = "embedding"
SET_FIELDS = Fields(required=("set_id", "title", "item_ids"), optional=("description",), lists=("item_ids",))


class SetsConfig(DatasetSettings):
    """Your own catalogue: items and, usually, sets, each a file, a folder of parts or a glob."""

    type: Literal["sets"] = Field("sets", description="Dataset: your own catalogue, from files of items and of sets.")
    items: Path = Field(
        description="Items: a .parquet, .jsonl or .csv file, a folder of such parts, or a glob. Fields: item_id, text "
        "and, optionally, attributes."
    )
    sets: Path | None = Field(
        None,
        description="Sets, in the same forms. Fields: set_id, title, item_ids (a list) and, optionally, description. "
        "Leave it out if you have only items, such as the products of a shop: open-ended abstract retrieval (OAR) then "
        "searches the items, and weakly supervised compositional retrieval is off.",
    )
    embedding_field: str | None = Field(
        EMBEDDING_FIELD,
        min_length=1,
        description="Field of items and of sets with a vector, if they have one: a list of numbers. Such entries are "
        "not embedded again, so `encoder` must be the model that made the vectors. null ignores the vectors.",
    )

    @property
    def has_sets(self) -> bool:
        """Whether there is a file of sets."""
        return self.sets is not None

    def sources(self) -> dict[str, str]:
        """Setting name -> sha256 of its files. Raises DataError if a file is missing."""
        files = {"items": self.items} | ({"sets": self.sets} if self.sets is not None else {})
        return {name: sha256_of_records(path) for name, path in files.items()}

    def vectors(self, kind: str) -> Iterator[VectorBatch]:
        """The vectors of ``embedding_field``. Without sets each item is a set with the item's vector. DataError."""
        if self.embedding_field is None:
            return iter(())
        if kind == "items" or self.sets is None:
            return read_vectors(self.items, "item_id", self.embedding_field)
        return read_vectors(self.sets, "set_id", self.embedding_field)

    def read(self) -> Catalogue:
        """Read all files. The categories of a set are the distinct ``category`` attributes of its items."""
        item_places, items = read_items(self.items)
        where = str(self.items)
        if self.sets is None:
            set_places, sets = item_places, each_item_as_set(items)
        else:
            set_places, sets = read_sets(self.sets)
            where += f" and {self.sets}"
        return with_categories(check_catalogue(Catalogue(items=items, sets=sets), where, item_places, set_places))


def read_items(path: Path) -> tuple[Places, tuple[Item, ...]]:
    """Read items: the place of each item in its file, and the items. Raises DataError."""
    return items_of(read_records(path, ITEM_FIELDS))


def items_of(records: Iterable[Record]) -> tuple[Places, tuple[Item, ...]]:
    """The places and the items of records that were read with ITEM_FIELDS. Raises DataError."""
    places, items = Places(), []
    for place, fields in records:
        places.append(place)
        items.append(
            Item(
                item_id=id_field(place, fields, "item_id"),
                text=text_field(place, fields, "text").strip(),
                attributes=object_field(place, fields, "attributes"),
            )
        )
    return places, tuple(items)


def read_sets(path: Path) -> tuple[Places, tuple[ItemSet, ...]]:
    """Read sets: the place of each set in its file, and the sets. Raises DataError."""
    return sets_of(read_records(path, SET_FIELDS))


def sets_of(records: Iterable[Record]) -> tuple[Places, tuple[ItemSet, ...]]:
    """The places and the sets of records that were read with SET_FIELDS. Raises DataError."""
    places, sets = Places(), []
    for place, fields in records:
        places.append(place)
        sets.append(
            ItemSet(
                set_id=id_field(place, fields, "set_id"),
                title=text_field(place, fields, "title").strip(),
                description=text_field(place, fields, "description", default="").strip(),
                item_ids=ids_field(place, fields, "item_ids"),
            )
        )
    return places, tuple(sets)


def with_categories(catalogue: Catalogue) -> Catalogue:
    """The catalogue, with the categories of each set taken from the ``category`` attributes of its items."""
    category = {
        item.item_id: name.strip()
        for item in catalogue.items
        if isinstance(name := item.attributes.get("category"), str) and name.strip()
    }
    sets = tuple(
        replace(row, categories=tuple(sorted({category[key] for key in row.item_ids if key in category})))
        for row in catalogue.sets
    )
    return Catalogue(items=catalogue.items, sets=sets)
