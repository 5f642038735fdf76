"""The datasets that ``catalogue.type`` selects. To add one, write a file like sets.py and add its class here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from r4t_ray.catalogue.datasets.cookbook import CookbookConfig
from r4t_ray.catalogue.datasets.polyvore import PolyvoreConfig
from r4t_ray.catalogue.datasets.recipes import RecipesConfig
from r4t_ray.catalogue.datasets.sets import SetsConfig

__all__ = ["CatalogueConfig", "CookbookConfig", "PolyvoreConfig", "RecipesConfig", "SetsConfig"]

CatalogueConfig = Annotated[CookbookConfig | PolyvoreConfig | RecipesConfig | SetsConfig, Field(discriminator="type")]
