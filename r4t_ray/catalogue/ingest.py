"""The ingest stage: converts a dataset to parquet files with its items, sets, queries and relevant sets."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet, are_items, sample_sets
from r4t_ray.catalogue.datasets import CatalogueConfig
from r4t_ray.catalogue.expansions import write_expansions
from r4t_ray.catalogue.queries.log import about_items, no_sets, read_log
from r4t_ray.catalogue.queries.logged import Logged, logged_queries, with_log
from r4t_ray.catalogue.queries.made import oar_queries, oar_themes, wscr_queries
from r4t_ray.catalogue.queries.query import Query
from r4t_ray.catalogue.queries.recombine import recombine
from r4t_ray.catalogue.queries.recurrence import RECURRENT, recurrence
from r4t_ray.catalogue.queries.relevance import relevant_sets
from r4t_ray.catalogue.queries.staples import NOTHING, find_staples
from r4t_ray.catalogue.queries.summary import counts, warnings
from r4t_ray.catalogue.vectors import write_vectors
from r4t_ray.config import Settings
from r4t_ray.stages import parents_of
from r4t_ray.types import TASKS, Split, Task

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
RELEVANCE_SCHEMA = pa.schema([("core", pa.string()), ("query_ids", STRINGS), ("set_ids", STRINGS)])
GROUP_ROWS = 4096
"""Rows of a row group. The actors of the embed stage share the row groups, and embed each in one call of the model."""
GROUP_IDS = 2**20
"""A row group of relevance.parquet ends with the row that brings it to this many ids of sets."""


class IngestInputs(Settings):
    """Settings, hashes of the input files, and names of the files made. They say whether an artifact is current."""

    catalogue: CatalogueConfig
    sources: dict[str, str]
    makes: tuple[str, ...] = ("items", "sets", "queries", "relevance")


def run(config: CatalogueConfig, workspace: Workspace, seed: int) -> Artifact:
    """Convert the dataset of ``config`` to the stage folder ``catalogue``. Raises DataError."""
    inputs = IngestInputs(catalogue=config, sources=config.sources() | config.added_sources())
    if config.queries is not None:  # a log that was read without references is read again
        inputs = inputs.model_copy(update={"makes": (*inputs.makes, "references of the log")})

    def make(folder: Path) -> int:
        whole = config.read()
        lines = [] if config.queries is None else read_log(config.queries, whole)
        catalogue = sample_sets(whole, config.max_sets)
        if config.has_sets:
            left_out, note = find_staples(catalogue.sets, config.staple_share, config.min_reference)
            made = wscr_queries(catalogue, left_out, config.min_reference)
        else:
            left_out, made = NOTHING, []
            lines, note = about_items(lines), no_sets(lines)
        themes = oar_themes(catalogue, config.theme_templates)
        made += oar_queries(themes)
        logged = logged_queries(lines, catalogue, left_out)
        core_of = {query.query_id: theme.core for query, theme in zip(oar_queries(themes), themes, strict=True)}
        queries = with_log(made, logged, core_of, config.made_queries)
        write_catalogue(folder, catalogue, queries)
        write_vectors(folder, catalogue, config.vectors)
        if config.expansions is not None:
            write_expansions(folder, config.expansions, catalogue.sets, whole.sets, has_sets=config.has_sets)
        cores = {query.query_id: core_of[query.query_id] for query in queries if query.query_id in core_of}
        write_relevance(folder, catalogue, cores, logged.relevant)
        _logger.info("%d items, %d sets", len(catalogue.items), len(catalogue.sets) if config.has_sets else 0)
        tell(queries, logged, note, TASKS if config.has_sets else ("oar",))
        return len(catalogue.items) + len(catalogue.sets) + len(queries)

    return workspace.build("catalogue", inputs, seed, parents_of("catalogue"), make)


def tell(queries: Sequence[Query], logged: Logged, note: str | None, tasks: Sequence[Task]) -> None:
    """Log which queries were made for ``tasks``, and warn about what is missing. ``note`` is a first warning."""
    for line in counts(queries, logged, tasks):
        _logger.info("%s", line)
    sets = [query for query in queries if query.task == "wscr"]
    if sets:
        share = recurrence(sets)
        advice = "" if share >= RECURRENT else "; they hardly recur, so the WSCR warm start names kinds of items"
        _logger.info("training sets hold %.0f%% of a validation set's items%s", 100 * share, advice)
    for line in [*([note] if note else []), *warnings(queries, logged, tasks)]:
        _logger.warning("%s", line)


def write_catalogue(folder: Path, catalogue: Catalogue, queries: Sequence[Query]) -> None:
    """Write items.parquet, sets.parquet and queries.parquet, in row groups of GROUP_ROWS."""
    _write_rows(folder / "items.parquet", catalogue.items, ITEM_SCHEMA)
    _write_rows(folder / "sets.parquet", catalogue.sets, SET_SCHEMA)
    _write_rows(folder / "queries.parquet", queries, QUERY_SCHEMA)


def write_relevance(
    folder: Path, catalogue: Catalogue, cores: Mapping[str, str], named: Mapping[str, Sequence[str]]
) -> None:
    """Write relevance.parquet: the relevant sets of OAR queries. Queries with equal core words share a row.

    Args:
        folder: The folder of the stage.
        catalogue: The sets.
        cores: Id of a theme's query -> core words of the theme. The sets that hold them are relevant.
        named: Id of a logged query -> ids of its relevant sets. Its row has no core.
    """
    query_ids: defaultdict[str, list[str]] = defaultdict(list)
    for query_id, core in cores.items():
        query_ids[core].append(query_id)
    found = relevant_sets(list(query_ids), catalogue.sets)
    of_themes = (
        {"core": core, "query_ids": ids, "set_ids": [catalogue.sets[row].set_id for row in places]}
        for (core, ids), places in zip(query_ids.items(), found, strict=True)
    )
    of_log = ({"core": "", "query_ids": [query_id], "set_ids": list(ids)} for query_id, ids in named.items())
    with pq.ParquetWriter(folder / "relevance.parquet", RELEVANCE_SCHEMA) as writer:
        for rows in _with_ids(chain(of_themes, of_log), GROUP_IDS):
            writer.write_table(pa.Table.from_pylist(rows, RELEVANCE_SCHEMA))


def load_items(workspace: Workspace) -> list[Item]:
    """All items of the workspace, in row order."""
    rows = _rows(workspace, "items")
    return [Item(item_id=row["item_id"], text=row["text"], attributes=json.loads(row["attributes"])) for row in rows]


def has_sets(workspace: Workspace) -> bool:
    """Whether the catalogue of the workspace has sets. Without sets each item is stored as a set of its own."""
    return not are_items(load_sets(workspace))


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


def recombined_queries(workspace: Workspace, task: Task, count: int, seed: int) -> list[Query]:
    """At most ``count`` additional training queries of one task, made by ``recombine`` from its training queries.

    They have no reference, and none has the text of a held-out query.
    """
    queries = load_queries(workspace, task)
    training = [query.text for query in queries if query.split == "train"]
    held_out = [query.text for query in queries if query.split != "train"]
    return [
        Query(query_id=f"{task}:recombined:{number}", task=task, text=text, item_ids=(), split="train")
        for number, text in enumerate(recombine(training, count, seed, held_out))
    ]


def load_relevance(
    workspace: Workspace, query_ids: Sequence[str] | None = None, new_sets: Sequence[ItemSet] = ()
) -> dict[str, frozenset[str]]:
    """Query id -> ids of its relevant sets, for OAR queries. Only evaluation/ and drift/ may call it; see relevance.py.

    Args:
        workspace: A workspace with a finished ingest stage.
        query_ids: The queries to read; None reads all. Unknown ids are left out.
        new_sets: Sets that were added after ingest. A new set replaces the set with its id.
    """
    table = pq.read_table(workspace.artifact("catalogue").file("relevance.parquet"))
    wanted = None if query_ids is None else frozenset(query_ids)
    if wanted is not None:
        table = table.filter(
            pa.array([not wanted.isdisjoint(ids) for ids in table["query_ids"].to_pylist()], pa.bool_())
        )
    rows = table.to_pylist()
    replaced = {each.set_id for each in new_sets}
    relevance: dict[str, frozenset[str]] = {}
    for row, places in zip(rows, relevant_sets([row["core"] for row in rows], new_sets), strict=True):
        set_ids = frozenset(row["set_ids"]) - replaced | {new_sets[place].set_id for place in places}
        relevance |= dict.fromkeys((name for name in row["query_ids"] if wanted is None or name in wanted), set_ids)
    return relevance


def _write_rows(path: Path, rows: Sequence[Item] | Sequence[ItemSet] | Sequence[Query], schema: pa.Schema) -> None:
    """Write the fields that the schema names. Attributes become JSON."""
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(rows), GROUP_ROWS):
            part = rows[start : start + GROUP_ROWS]
            columns = {name: [_stored(getattr(row, name)) for row in part] for name in schema.names}
            writer.write_table(pa.Table.from_pydict(columns, schema))


def _stored(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _with_ids(rows: Iterable[dict[str, Any]], most: int) -> Iterator[list[dict[str, Any]]]:
    """The rows in order, in parts that end with the row that brings them to ``most`` set_ids."""
    part: list[dict[str, Any]] = []
    num = 0
    for row in rows:
        part.append(row)
        num += len(row["set_ids"])
        if num >= most:
            yield part
            part, num = [], 0
    if part:
        yield part


def _rows(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    path = workspace.artifact("catalogue").file(f"{name}.parquet")
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
