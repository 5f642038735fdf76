"""The ingest stage, which converts a dataset to items, sets and queries, and the readers of its files."""

from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet
from r4t_ray.catalogue.datasets import CatalogueConfig, CookbookConfig, PolyvoreConfig, RecipesConfig, SetsConfig
from r4t_ray.catalogue.ingest import (
    has_sets,
    load_items,
    load_queries,
    load_relevance,
    load_sets,
    recombined_queries,
    run,
)
from r4t_ray.catalogue.new_entries import (
    RemovedIds,
    embedding_field,
    given_entries,
    read_ids,
    read_new_entries,
    read_new_vectors,
    read_query_texts,
    read_removed_ids,
)
from r4t_ray.catalogue.queries.query import Query
from r4t_ray.catalogue.queries.recombine import recombine
from r4t_ray.catalogue.queries.recurrence import RECURRENT, recurrence

__all__ = [
    "RECURRENT",
    "Catalogue",
    "CatalogueConfig",
    "CookbookConfig",
    "Item",
    "ItemSet",
    "PolyvoreConfig",
    "Query",
    "RecipesConfig",
    "RemovedIds",
    "SetsConfig",
    "embedding_field",
    "given_entries",
    "has_sets",
    "load_items",
    "load_queries",
    "load_relevance",
    "load_sets",
    "read_ids",
    "read_new_entries",
    "read_new_vectors",
    "read_query_texts",
    "read_removed_ids",
    "recombine",
    "recombined_queries",
    "recurrence",
    "run",
]
