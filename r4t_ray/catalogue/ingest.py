"""The ingest stage: converts a dataset to parquet files with its items, sets, queries and relevant sets."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet, sample_sets
from r4t_ray.catalogue.datasets import CatalogueConfig
from r4t_ray.catalogue.queries.made import oar_queries, oar_themes, wscr_queries
from r4t_ray.catalogue.queries.query import Query
from r4t_ray.catalogue.queries.recurrence import RECURRENT, recurrence
from r4t_ray.catalogue.queries.relevance import relevant_sets
from r4t_ray.catalogue.queries.themes import Theme
from r4t_ray.config import Settings
from r4t_ray.stages import parents_of
from r4t_ray.types import Split, Task

_logger = logging.getLogger(__name__)

STRINGS = pa.list_(pa.string())
ITEM_SCHEMA = pa.schema([("item_id", pa.string()), ("text", pa.string()), ("attributes", pa.string())])
SET_SCHEMA = pa.schema(
    [("set_id", pa.string()), ("title", pa.string()), ("description", pa.string()), ("item_ids", STRINGS)]
)
QUERY_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("task", pa.string()),
        ("text", pa.string()),
        ("item_ids", STRINGS),
        ("split", pa.string()),
    ]
)
RELEVANCE_SCHEMA = pa.schema([("query_id", pa.string()), ("core", pa.string()), ("set_ids", STRINGS)])


class IngestInputs(Settings):
    """Settings, hashes of the input files, and names of the files made. They say whether an artifact is current."""

    catalogue: CatalogueConfig
    sources: dict[str, str]
    makes: tuple[str, ...] = ("items", "sets", "queries", "relevance")


def run(config: CatalogueConfig, workspace: Workspace, seed: int) -> Artifact:
    """Convert the dataset of ``config`` to the stage folder ``catalogue``. Raises DataError."""
    inputs = IngestInputs(catalogue=config, sources=config.sources())

    def make(folder: Path) -> int:
        catalogue = sample_sets(config.read(), config.max_sets)
        themes = oar_themes(catalogue, config.theme_templates)
        queries = wscr_queries(catalogue, config.staple_share, config.min_reference) + oar_queries(themes)
        write_catalogue(folder, catalogue, queries)
        write_relevance(folder, catalogue, themes)
        return len(catalogue.items) + len(catalogue.sets) + len(queries)

    return workspace.build("catalogue", inputs, seed, parents_of("catalogue"), make)


def write_catalogue(folder: Path, catalogue: Catalogue, queries: Sequence[Query]) -> None:
    """Write items.parquet, sets.parquet and queries.parquet."""
    items = [
        {"item_id": item.item_id, "text": item.text, "attributes": json.dumps(item.attributes, ensure_ascii=False)}
        for item in catalogue.items
    ]
    sets = [asdict(row) for row in catalogue.sets]
    pq.write_table(pa.Table.from_pylist(items, ITEM_SCHEMA), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(sets, SET_SCHEMA), folder / "sets.parquet")
    pq.write_table(pa.Table.from_pylist([asdict(query) for query in queries], QUERY_SCHEMA), folder / "queries.parquet")
    counts = Counter((query.task, query.split) for query in queries)
    text = ", ".join(f"{count} {task} {split}" for (task, split), count in sorted(counts.items()))
    _logger.info("%d items, %d sets; queries: %s", len(items), len(sets), text)
    share = recurrence(query for query in queries if query.task == "wscr")
    advice = "" if share >= RECURRENT else "; they hardly recur, so the WSCR warm start names kinds of items"
    _logger.info("training sets hold %.0f%% of a validation set's items%s", 100 * share, advice)


def write_relevance(folder: Path, catalogue: Catalogue, themes: Sequence[Theme]) -> None:
    """Write relevance.parquet: the relevant sets of each OAR query, and the core words that select them."""
    rows = relevant_sets([theme.core for theme in themes], catalogue.sets)
    ends = np.cumsum([0, *map(len, rows)])
    ids = pa.array([each.set_id for each in catalogue.sets]).take(pa.array(np.concatenate(rows)))
    columns = [
        pa.array([query.query_id for query in oar_queries(themes)]),
        pa.array([theme.core for theme in themes]),
        pa.ListArray.from_arrays(ends.astype(np.int32), ids),
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=RELEVANCE_SCHEMA), folder / "relevance.parquet")


def load_items(workspace: Workspace) -> list[Item]:
    """All items of the workspace, in row order."""
    rows = _rows(workspace, "items")
    return [Item(item_id=row["item_id"], text=row["text"], attributes=json.loads(row["attributes"])) for row in rows]


def load_sets(workspace: Workspace) -> list[ItemSet]:
    """All sets of the workspace, in row order. Splits and categories are not stored, so they are empty."""
    rows = _rows(workspace, "sets")
    return [
        ItemSet(
            set_id=row["set_id"], title=row["title"], description=row["description"], item_ids=tuple(row["item_ids"])
        )
        for row in rows
    ]


def load_queries(workspace: Workspace, task: Task | None = None, split: Split | None = None) -> list[Query]:
    """The queries of one task and split, in row order. None takes every task or split."""
    queries = [Query(**{**row, "item_ids": tuple(row["item_ids"])}) for row in _rows(workspace, "queries")]
    return [query for query in queries if task in (None, query.task) and split in (None, query.split)]


def load_relevance(
    workspace: Workspace, query_ids: Sequence[str] | None = None, new_sets: Sequence[ItemSet] = ()
) -> dict[str, frozenset[str]]:
    """Query id -> ids of its relevant sets, for OAR queries. Only evaluation/ and drift/ may call it; see relevance.py.

    Args:
        workspace: A workspace with a finished ingest stage.
        query_ids: The queries to read; None reads all. Unknown ids are left out.
        new_sets: Sets that were added after ingest. A new set replaces the set with its id.
    """
    chosen = None if query_ids is None else pc.field("query_id").isin(pa.array(query_ids, pa.string()))
    rows = _rows(workspace, "relevance", chosen)
    added = relevant_sets([row["core"] for row in rows], new_sets)
    replaced = {each.set_id for each in new_sets}
    return {
        row["query_id"]: frozenset(row["set_ids"]) - replaced | {new_sets[place].set_id for place in found}
        for row, found in zip(rows, added, strict=True)
    }


def _rows(workspace: Workspace, name: str, chosen: pc.Expression | None = None) -> list[dict[str, Any]]:
    """The rows of a file; only those that fulfil ``chosen`` if it is given."""
    path = workspace.artifact("catalogue").file(f"{name}.parquet")
    rows: list[dict[str, Any]] = pq.read_table(path, filters=chosen).to_pylist()
    return rows
