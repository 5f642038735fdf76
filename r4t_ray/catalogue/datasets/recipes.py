"""``recipes``: recipes from a file of JSON lines, each with a title, ingredient lines and, optionally, tags.

A recipe is a set, and a cleaned ingredient name is an item, as in ``cookbook``. The tags are the categories and the
description. Left out are a recipe without a title, one without a named ingredient, and one that has the title and the
ingredients of an earlier recipe. The shipped base model was pretrained on 73,322 such recipes. It saw no title of the
validation or test split, because both use ``splits.split_of(normalise_title(title))``.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from r4t_ray.catalogue.catalogue import Catalogue, ItemSet, check_catalogue
from r4t_ray.catalogue.datasets.dishes import FOOD_TEMPLATES, Dish, catalogue_of_dishes
from r4t_ray.catalogue.datasets.settings import DatasetSettings
from r4t_ray.catalogue.queries.themes import Templates
from r4t_ray.errors import DataError
from r4t_ray.files import sha256_file


class RecipesConfig(DatasetSettings):
    """Recipes and their ingredients, from a file of JSON lines."""

    own_templates: ClassVar[Templates] = FOOD_TEMPLATES

    type: Literal["recipes"] = Field("recipes", description="Dataset: recipes from a file of JSON lines.")
    path: Path = Field(
        description="File of recipes, .jsonl or .jsonl.gz. A line is an object with title, ingredients (a list of "
        "lines such as '2 cups flour') and, optionally, tags (a list of texts)."
    )

    def sources(self) -> dict[str, str]:
        """Name of the file -> its sha256. Raises DataError if it is missing."""
        path = self.path.expanduser()
        if not path.is_file():
            raise DataError(str(path), "no such file", "a file of recipes", "correct catalogue.path")
        return {path.name: sha256_file(path)}

    def read(self) -> Catalogue:
        """Read the recipes. Raises DataError with the line of a fault."""
        catalogue = catalogue_of_dishes(read_dishes(self.path.expanduser()))
        kept: dict[tuple[str, tuple[str, ...]], ItemSet] = {}
        for row in catalogue.sets:
            if row.item_ids:
                kept.setdefault((row.title.lower(), tuple(sorted(row.item_ids))), row)
        return check_catalogue(Catalogue(items=catalogue.items, sets=tuple(kept.values())), str(self.path))


def read_dishes(path: Path) -> list[Dish]:
    """The recipes with a title, in the order of the file. Raises DataError."""
    dishes = []
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                dish = read_dish(f"{path}:{number}", line, number)
                if dish.title:
                    dishes.append(dish)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"an unreadable file ({error})", "JSON lines in UTF-8", "fetch it again") from None
    return dishes


def read_dish(place: str, line: str, number: int) -> Dish:
    """One recipe. Its id is the number of its line. Raises DataError."""
    try:
        recipe: dict[str, Any] = json.loads(line)
        tags = dict.fromkeys(tag.strip() for tag in recipe.get("tags") or ())
        lines = recipe["ingredients"]
        if not isinstance(lines, list) or not all(isinstance(text, str) for text in lines):
            raise TypeError("ingredients are no list of texts")
        return Dish(str(number), recipe["title"].strip(), tuple(filter(None, tags)), lines)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            place, f"{type(error).__name__} {error}", "title, ingredients and, optionally, tags", "correct the line"
        ) from None
