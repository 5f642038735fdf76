"""``sets``: your own catalogue, in a file of items and, usually, a file of sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet, check_catalogue, each_item_as_set
from r4t_ray.catalogue.datasets.settings import DatasetSettings, sha256_of_input
from r4t_ray.catalogue.records import ids_field, object_field, read_records, text_field


class SetsConfig(DatasetSettings):
    """Your own catalogue: a file of items and, usually, a file of sets, each JSON lines or parquet."""

    type: Literal["sets"] = Field("sets", description="Dataset: your own catalogue, in two files.")
    items: Path = Field(
        description="File of items, .jsonl or .parquet, with the fields item_id, text and, optionally, attributes."
    )
    sets: Path | None = Field(
        None,
        description="File of sets, .jsonl or .parquet, with the fields set_id, title, item_ids (a list) and, "
        "optionally, description. Leave it out if you have only items, such as the products of a shop: open-ended "
        "abstract retrieval (OAR) then searches the items, and weakly supervised compositional retrieval is off.",
    )

    @property
    def has_sets(self) -> bool:
        """Whether there is a file of sets."""
        return self.sets is not None

    def sources(self) -> dict[str, str]:
        """Setting name -> sha256 of its file. Raises DataError if a file is missing."""
        files = {"items": self.items} | ({"sets": self.sets} if self.sets is not None else {})
        return {name: sha256_of_input(path) for name, path in files.items()}

    def read(self) -> Catalogue:
        """Read the files. The categories of a set are the distinct ``category`` attributes of its items."""
        item_places, items = read_items(self.items)
        where = str(self.items)
        if self.sets is None:
            set_places, sets = item_places, each_item_as_set(items)
        else:
            set_places, sets = read_sets(self.sets)
            where += f" and {self.sets}"
        return with_categories(check_catalogue(Catalogue(items=items, sets=sets), where, item_places, set_places))


def read_items(path: Path) -> tuple[list[str], tuple[Item, ...]]:
    """Read a file of items: the place of each item in the file, and the items. Raises DataError."""
    records = read_records(path.expanduser(), ("item_id", "text"))
    items = tuple(
        Item(
            item_id=text_field(place, fields, "item_id"),
            text=text_field(place, fields, "text").strip(),
            attributes=object_field(place, fields, "attributes"),
        )
        for place, fields in records
    )
    return [place for place, _ in records], items


def read_sets(path: Path) -> tuple[list[str], tuple[ItemSet, ...]]:
    """Read a file of sets: the place of each set in the file, and the sets. Raises DataError."""
    records = read_records(path.expanduser(), ("set_id", "title", "item_ids"))
    sets = tuple(
        ItemSet(
            set_id=text_field(place, fields, "set_id"),
            title=text_field(place, fields, "title").strip(),
            description=text_field(place, fields, "description", default="").strip(),
            item_ids=ids_field(place, fields, "item_ids"),
        )
        for place, fields in records
    )
    return [place for place, _ in records], sets


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
