"""Embeddings on disk: parquet of (id str, embedding fixed_size_list<float32, D>), in the order of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.errors import ArtifactError
from r4t_ray.types import Array

READ_ROWS = 16_384


def given_embeddings(catalogue: Path, kind: str) -> Path:
    """The file of the vectors that the records of ``kind``, "items" or "sets", brought along. It may be absent."""
    return catalogue / f"{kind}_embedding.parquet"


def expansions_file(catalogue: Path) -> Path:
    """The file of the queries that move the vectors of sets, with columns set_id and text. It may be absent."""
    return catalogue / "expansions.parquet"


def embedding_schema(dim: int) -> pa.Schema:
    """Columns of an embedding table of width ``dim``."""
    return pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), dim))])


def embedding_table(ids: Sequence[str], emb_MD: Array) -> pa.Table:
    """Ids and their rows as an Arrow table."""
    flat = pa.array(np.ascontiguousarray(emb_MD, dtype=np.float32).reshape(-1))
    columns = [pa.array(ids, pa.string()), pa.FixedSizeListArray.from_arrays(flat, emb_MD.shape[1])]
    return pa.Table.from_arrays(columns, schema=embedding_schema(emb_MD.shape[1]))


def read_embedding_table(path: Path) -> tuple[list[str], Array]:
    """Ids and ``emb_MD`` of one file, in row order; raises ArtifactError if it is not an embedding table."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        kind = schema.field("embedding").type if "embedding" in schema.names else None
        if "id" not in schema.names or kind is None or not pa.types.is_fixed_size_list(kind):
            raise ArtifactError(
                str(path),
                f"columns {schema.names}",
                "id and embedding, a fixed-size list",
                "run `r4t embed CONFIG --workspace DIR` again",
            )
        emb_MD = np.empty((file.metadata.num_rows, kind.list_size), np.float32)
        ids: list[str] = []
        for batch in file.iter_batches(READ_ROWS, columns=["id", "embedding"]):
            flat = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
            emb_MD[len(ids) : len(ids) + batch.num_rows] = flat.reshape(-1, kind.list_size)
            ids += batch.column("id").to_pylist()
    return ids, emb_MD
