"""Reading the attributes of a workspace: its items once, and the items of each entry of a pool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r4t_ray.artifacts import Workspace
from r4t_ray.new_entries import COLUMN_OF_FILTERS, new_column_of_filters
from r4t_ray.retrieval.filtering.attributes import Ints, ItemAttributes, PoolAttributes, typed_columns
from r4t_ray.types import Task

BATCH_ROWS = 65_536
"""Items whose attributes Python holds at a time."""


def read_item_attributes(workspace: Workspace) -> ItemAttributes:
    """The attributes of all items of the catalogue and of the new entries of `r4t add`, in this order."""
    table = pq.read_table(workspace.artifact("catalogue").file("items.parquet"), columns=["item_id", "attributes"])
    added = new_column_of_filters(workspace, "wscr")
    tables = [table.rename_columns(["id", "attributes"]), *([added] if added is not None else [])]
    items = pa.concat_tables(tables)
    return ItemAttributes(columns=typed_columns(_batches(items)), ids=items["id"], texts=items["attributes"])


def pool_attributes(workspace: Workspace, task: Task, ids: Sequence[str], items: ItemAttributes) -> PoolAttributes:
    """The items of each entry of a task's pool.

    Args:
        workspace: A workspace with a finished ingest stage.
        task: Its pool: collections for oar, items for wscr.
        ids: Id of each entry, in the row order of the pool.
        items: The items of the workspace.
    """
    keys = pa.array(ids, pa.string())
    if task == "wscr":
        members_N = _positions(keys, items.ids)
        return PoolAttributes(items=items, offsets_M1=np.arange(len(ids) + 1), members_N=members_N, are_items=True)
    column = COLUMN_OF_FILTERS[task]
    table = pq.read_table(workspace.artifact("catalogue").file("sets.parquet"), columns=["set_id", column])
    are_items = bool(pc.all(pc.equal(pc.list_value_length(table[column]), 1)).as_py()) and (
        table[column].combine_chunks().flatten().equals(table["set_id"].combine_chunks())
    )
    added = new_column_of_filters(workspace, task)
    tables = [table.rename_columns(["id", column]), *([added] if added is not None else [])]
    sets = pa.concat_tables(tables)
    lists = sets[column].take(pa.array(_positions(keys, sets["id"]))).combine_chunks()
    offsets_M1 = np.concatenate([[0], np.cumsum(pc.list_value_length(lists).to_numpy())]).astype(np.int64)
    members_N = _positions(lists.flatten(), items.ids)
    return PoolAttributes(items=items, offsets_M1=offsets_M1, members_N=members_N, are_items=are_items)


def _positions(keys: pa.Array, among: pa.ChunkedArray) -> Ints:
    """Where each key stands in ``among``. Ingest and `r4t add` have checked that each is there."""
    positions: Ints = pc.index_in(keys, value_set=among.combine_chunks()).to_numpy()
    return positions


def _batches(items: pa.Table) -> Iterator[list[str]]:
    return (batch.column(0).to_pylist() for batch in items.select(["attributes"]).to_batches(BATCH_ROWS))
