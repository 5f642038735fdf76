"""``sets``: a catalogue of one's own, two files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from r4t_ray.catalogue.catalogue import Catalogue, DatasetSettings, Item, ItemSet, check_catalogue
from r4t_ray.catalogue.records import ids_field, object_field, read_records, text_field
from r4t_ray.errors import DataError
from r4t_ray.files import sha256_file


class SetsConfig(DatasetSettings):
    """``items``: item_id, text, attributes?; ``sets``: set_id, title, description?, item_ids. JSONL or parquet."""

    type: Literal["sets"] = "sets"
    items: Path
    sets: Path

    def sources(self) -> dict[str, str]:
        """Both files by their sha256."""
        for path in (self.items, self.sets):
            if not path.expanduser().is_file():
                raise DataError(
                    str(path), "no such file", "a .jsonl or .parquet file", "correct the path in `catalogue`"
                )
        return {name: sha256_file(getattr(self, name).expanduser()) for name in ("items", "sets")}

    def read(self) -> Catalogue:
        """Read both files; categories are those that the items' attributes name, each once a set."""
        item_places, items = read_items(self.items)
        set_places, sets = read_sets(self.sets)
        return with_categories(
            check_catalogue(Catalogue(items, sets), f"{self.items} and {self.sets}", item_places, set_places)
        )


def read_items(path: Path) -> tuple[list[str], tuple[Item, ...]]:
    """The items of one file, and the place that each stands at; raises DataError."""
    records = read_records(path.expanduser(), ("item_id", "text"))
    items = tuple(
        Item(
            text_field(place, fields, "item_id"),
            text_field(place, fields, "text").strip(),
            object_field(place, fields, "attributes"),
        )
        for place, fields in records
    )
    return [place for place, _ in records], items


def read_sets(path: Path) -> tuple[list[str], tuple[ItemSet, ...]]:
    """The sets of one file, and the place that each stands at; raises DataError."""
    records = read_records(path.expanduser(), ("set_id", "title", "item_ids"))
    sets = tuple(
        ItemSet(
            text_field(place, fields, "set_id"),
            text_field(place, fields, "title").strip(),
            text_field(place, fields, "description", default="").strip(),
            ids_field(place, fields, "item_ids"),
        )
        for place, fields in records
    )
    return [place for place, _ in records], sets


def with_categories(catalogue: Catalogue) -> Catalogue:
    """The catalogue, each set with the distinct ``category`` texts of its items."""
    category = {
        item.item_id: name.strip()
        for item in catalogue.items
        if isinstance(name := item.attributes.get("category"), str) and name.strip()
    }
    sets = tuple(
        replace(row, categories=tuple(sorted({category[key] for key in row.item_ids if key in category})))
        for row in catalogue.sets
    )
    return Catalogue(catalogue.items, sets)
