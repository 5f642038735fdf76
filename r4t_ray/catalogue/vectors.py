"""Vectors that the records of a catalogue bring along, from batches to files beside items.parquet and sets.parquet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from r4t_ray.catalogue.catalogue import Catalogue
from r4t_ray.catalogue.records import VectorBatch
from r4t_ray.embedding_table import embedding_schema, embedding_table, given_embeddings
from r4t_ray.errors import DataError

_logger = logging.getLogger(__name__)


def write_vectors(folder: Path, catalogue: Catalogue, read: Callable[[str], Iterator[VectorBatch]]) -> None:
    """Write the unit vectors of items and of sets, each if its records have vectors.

    Args:
        folder: The folder of the stage.
        catalogue: The items and sets, in the order of their records. Vectors of other records are left out.
        read: "items" or "sets" -> the vectors of its records; nothing if they have none.

    Raises:
        DataError: A vector cannot be used, or a file was changed while it was read.
    """
    ids = {"items": [item.item_id for item in catalogue.items], "sets": [row.set_id for row in catalogue.sets]}
    for kind, kept in ids.items():
        _write(given_embeddings(folder, kind), kind, read(kind), kept)


def _write(path: Path, kind: str, batches: Iterator[VectorBatch], kept: Sequence[str]) -> None:
    first = next(batches, None)
    if first is None:
        return
    wanted, written, num_scaled, width = frozenset(kept), 0, 0, first.emb_ND.shape[1]
    with pq.ParquetWriter(path, embedding_schema(width)) as writer:
        batch: VectorBatch | None = first
        while batch is not None:
            rows = np.array([row for row, name in enumerate(batch.ids) if name in wanted], dtype=np.int64)
            ids = [batch.ids[row] for row in rows]
            if ids != list(kept[written : written + len(ids)]):
                raise _changed(kind)
            writer.write_table(embedding_table(ids, batch.emb_ND[rows]))
            written, num_scaled, batch = written + len(ids), num_scaled + batch.num_scaled, next(batches, None)
    if written != len(kept):
        raise _changed(kind)
    scaled = f"; {num_scaled:,} vectors of the file had another length than 1 and are scaled" if num_scaled else ""
    _logger.info("%s: %d vectors of width %d from the file%s", kind, written, width, scaled)


def _changed(kind: str) -> DataError:
    return DataError(
        f"catalogue.{kind}",
        "other ids at the second reading, which takes the vectors",
        "files that stay as they are while they are read",
        "run `r4t ingest` again when the files are whole",
    )
