"""``sets``: a catalogue of one's own, two files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from r4t_ray.artifacts import sha256_file
from r4t_ray.catalogue.catalogue import Catalogue, DatasetSettings, Item, ItemSet, check_catalogue
from r4t_ray.catalogue.records import ids_field, object_field, read_records, text_field
from r4t_ray.errors import DataError


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
        item_records = read_records(self.items.expanduser(), ("item_id", "text"))
        set_records = read_records(self.sets.expanduser(), ("set_id", "title", "item_ids"))
        items = tuple(
            Item(
                text_field(place, fields, "item_id"),
                text_field(place, fields, "text").strip(),
                object_field(place, fields, "attributes"),
            )
            for place, fields in item_records
        )
        sets = tuple(
            ItemSet(
                text_field(place, fields, "set_id"),
                text_field(place, fields, "title").strip(),
                text_field(place, fields, "description", default="").strip(),
                ids_field(place, fields, "item_ids"),
            )
            for place, fields in set_records
        )
        places = [place for place, _ in item_records], [place for place, _ in set_records]
        catalogue = check_catalogue(Catalogue(items, sets), f"{self.items} and {self.sets}", *places)
        return Catalogue(items, sets, set_categories(catalogue))


def set_categories(catalogue: Catalogue) -> tuple[str, ...]:
    """For each set the distinct ``category`` texts of its items."""
    category = {item.item_id: item.attributes.get("category") for item in catalogue.items}
    names = [{category[item_id] for item_id in row.item_ids} for row in catalogue.sets]
    return tuple(name for of_set in names for name in sorted(n for n in of_set if isinstance(n, str) and n.strip()))
