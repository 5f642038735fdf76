"""``recipes``: recipes from a file of JSON lines, each with a title, ingredient lines and, optionally, tags.

A recipe is a set, and a cleaned ingredient name is an item, as in ``cookbook``. The tags are the categories and the
description. Left out are a recipe without a title, one without a named ingredient, and one that has the title and the
ingredients of an earlier recipe. The shipped base model was pretrained on 73,322 such recipes. It saw no title of the
validation or test split, because both use ``splits.split_of(normalise_title(title))``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from r4t_ray.catalogue.catalogue import Catalogue, ItemSet, check_catalogue
from r4t_ray.catalogue.datasets.dishes import FOOD_TEMPLATES, Dish, catalogue_of_dishes
from r4t_ray.catalogue.datasets.settings import DatasetSettings
from r4t_ray.catalogue.queries.themes import Templates
from r4t_ray.catalogue.records import Fields, read_records, sha256_of_records, text_field
from r4t_ray.errors import DataError

RECIPE_FIELDS = Fields(required=("title", "ingredients"), optional=("tags",))


class RecipesConfig(DatasetSettings):
    """Recipes and their ingredients, from a file of JSON lines."""

    own_templates: ClassVar[Templates] = FOOD_TEMPLATES

    type: Literal["recipes"] = Field("recipes", description="Dataset: recipes from a file of JSON lines.")
    path: Path = Field(
        description="Recipes: a .jsonl or .parquet file, a folder of such parts, or a glob. Fields: title, ingredients "
        "(a list of lines such as '2 cups flour') and, optionally, tags (a list of texts)."
    )

    def sources(self) -> dict[str, str]:
        """Name of the file -> its sha256. Raises DataError if it is missing."""
        return {self.path.name: sha256_of_records(self.path)}

    def read(self) -> Catalogue:
        """Read the recipes. Raises DataError with the line of a fault."""
        catalogue = catalogue_of_dishes(read_dishes(self.path))
        kept: dict[tuple[str, tuple[str, ...]], ItemSet] = {}
        for row in catalogue.sets:
            if row.item_ids:
                kept.setdefault((row.title.lower(), tuple(sorted(row.item_ids))), row)
        return check_catalogue(Catalogue(items=catalogue.items, sets=tuple(kept.values())), str(self.path))


def read_dishes(path: Path) -> list[Dish]:
    """The recipes with a title, in the order of the file. The id of a recipe is its number. Raises DataError."""
    records = enumerate(read_records(path, RECIPE_FIELDS), 1)
    dishes = (read_dish(place, fields, number) for number, (place, fields) in records)
    return [dish for dish in dishes if dish.title]


def read_dish(place: str, fields: dict[str, Any], number: int) -> Dish:
    """One recipe. Raises DataError."""
    title, lines, tags = text_field(place, fields, "title"), fields["ingredients"], fields.get("tags") or []
    for name, texts in (("ingredients", lines), ("tags", tags)):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise DataError(place, f"{name} = {texts!r:.80}", "a list of texts", f"write {name} as a list of strings")
    named = dict.fromkeys(tag.strip() for tag in tags)
    return Dish(str(number), title.strip(), tuple(filter(None, named)), lines)
