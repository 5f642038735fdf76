"""The stream that embeds texts: row group of a catalogue file -> text of each row -> model actors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from r4t_ray.embedding_table import embedding_table, expansions_file
from r4t_ray.encoders.encoder import set_text
from r4t_ray.encoders.endpoint import EndpointConfig
from r4t_ray.encoders.sentence_transformer import EncoderConfig
from r4t_ray.types import TextKind

Kind = Literal["items", "sets", "queries", "expansions"]
KINDS: tuple[Kind, ...] = ("items", "sets", "queries")
"""The kinds that every catalogue has."""
ID_COLUMNS: dict[Kind, str] = {"items": "item_id", "sets": "set_id", "queries": "query_id", "expansions": "set_id"}
ARE_QUERIES: tuple[Kind, ...] = ("queries", "expansions")
"""The kinds whose texts are queries of people. The others are documents."""
STREAM_ROWS = 4096
"""Texts per call of the model. The encoder sorts them by length, so a longer call pads its forward passes less."""
READ_ROWS = 16_384


def kinds_of(catalogue: Path) -> tuple[Kind, ...]:
    """The kinds of texts that a catalogue has."""
    return (*KINDS, "expansions") if expansions_file(catalogue).exists() else KINDS


class EmbedBatch:
    """Actor of the stream. It holds the model and embeds batches of texts."""

    def __init__(self, config: EncoderConfig | EndpointConfig) -> None:
        if isinstance(config, EncoderConfig) and not config.actors.gpus:
            import torch

            torch.set_num_threads(config.actors.num_threads)
        self._encoder = config.build()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed a batch with the columns kind, id and text. Returns the columns id, embedding and kind."""
        kinds: list[TextKind] = ["query" if kind in ARE_QUERIES else "document" for kind in batch["kind"].to_pylist()]
        emb_MD = self._encoder.encode(batch["text"].to_pylist(), kinds)
        table = embedding_table(batch["id"].to_pylist(), emb_MD)
        return table.append_column("kind", batch["kind"])


def catalogue_texts(row_group: pa.Table, catalogue: Path) -> Iterator[pa.Table]:
    """Read one row group of a catalogue file, given as (kind, number). Yields tables with kind, id and text."""
    ((kind, number),) = zip(row_group["kind"].to_pylist(), row_group["number"].to_pylist(), strict=True)
    with pq.ParquetFile(catalogue / f"{kind}.parquet") as file:
        for batch in file.iter_batches(row_groups=[number], batch_size=READ_ROWS):
            texts = texts_of(kind, batch)
            kinds = pa.array([kind] * batch.num_rows, pa.string())
            yield pa.table({"kind": kinds, "id": batch[ID_COLUMNS[kind]], "text": texts})


def texts_of(kind: Kind, rows: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
    """The texts that are embedded, of rows of a catalogue file."""
    if kind != "sets":
        return rows["text"]
    pairs = zip(rows["title"].to_pylist(), rows["description"].to_pylist(), strict=True)
    return pa.array([set_text(title, description) for title, description in pairs], pa.string())


def model_batches(
    config: EncoderConfig | EndpointConfig, catalogue: Path, kinds: Sequence[Kind], actor: type[EmbedBatch]
) -> Iterator[pa.Table]:
    """Embed all texts of the kinds with the model, in the order of the catalogue."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # so that a fault keeps its class and fields on the way to the driver
    options: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": STREAM_ROWS}
    row_groups = [
        {"kind": kind, "number": number}
        for kind in kinds
        for number in range(pq.read_metadata(catalogue / f"{kind}.parquet").num_row_groups)
    ]
    # read_parquet would start actors for each file, which takes longer than reading it.
    stream = (
        ray.data.from_items(row_groups, override_num_blocks=len(row_groups))
        .map_batches(partial(catalogue_texts, catalogue=catalogue), batch_format="pyarrow", batch_size=1)
        .map_batches(
            actor,
            fn_constructor_args=(config,),
            compute=ray.data.ActorPoolStrategy(size=config.actors.num),
            num_cpus=config.actors.cpus,
            num_gpus=config.actors.gpus,
            **options,
        )
    )
    return iter(stream.iter_batches(**options))
