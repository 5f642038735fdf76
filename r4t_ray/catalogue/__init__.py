"""Datasets to items, sets and queries: the ingest stage and the readers of what it writes."""

from r4t_ray.catalogue.additions import Gone, read_additions, read_gone, read_query_texts
from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet
from r4t_ray.catalogue.datasets import CatalogueConfig, CookbookConfig, PolyvoreConfig, SetsConfig
from r4t_ray.catalogue.ingest import load_items, load_queries, load_sets, run
from r4t_ray.catalogue.queries import Query
from r4t_ray.catalogue.recombine import recombine, recombined_queries

__all__ = [
    "Catalogue",
    "CatalogueConfig",
    "CookbookConfig",
    "Gone",
    "Item",
    "ItemSet",
    "PolyvoreConfig",
    "Query",
    "SetsConfig",
    "load_items",
    "load_queries",
    "load_sets",
    "read_additions",
    "read_gone",
    "read_query_texts",
    "recombine",
    "recombined_queries",
    "run",
]
