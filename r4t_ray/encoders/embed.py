"""The embed stage: embeds the texts of the catalogue as unit vectors, in one Ray Data stream.

row group -> text of each row -> model actors -> (second moment -> projection) -> encoder/{items,sets,queries}.parquet.
Items and sets that brought vectors along skip the model. Where each set is an item, the sets have the vectors of the
items. Expansions move the vectors of the sets. The rows keep the order of the catalogue. The projection is fitted on
items and sets, and is applied to items, sets and queries.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import ray
from numpy.typing import NDArray

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.embedding_table import embedding_schema, embedding_table, given_embeddings, read_embedding_table
from r4t_ray.encoders.encoder import fit_projection, project, save_encoder, second_moment
from r4t_ray.encoders.endpoint import EndpointConfig
from r4t_ray.encoders.expansions import expanded
from r4t_ray.encoders.same_space import require_same_space, spread_rows
from r4t_ray.encoders.sentence_transformer import EncoderConfig
from r4t_ray.encoders.stream import (
    ID_COLUMNS,
    KINDS,
    READ_ROWS,
    STREAM_ROWS,
    EmbedBatch,
    Kind,
    kinds_of,
    model_batches,
    texts_of,
)
from r4t_ray.files import whole_file
from r4t_ray.progress import track
from r4t_ray.stages import parents_of
from r4t_ray.types import Array, TextKind

_logger = logging.getLogger(__name__)


class HasQueryId(Protocol):
    """A query of the catalogue."""

    @property
    def query_id(self) -> str:
        """Its id in the catalogue."""
        ...


class EmbedInputs(EncoderConfig):
    """Settings of the stage and hash of the model's files. They determine whether the embeddings are current."""

    model_sha256: str | None


def run(config: EncoderConfig | EndpointConfig, workspace: Workspace, seed: int) -> Artifact:
    """Embed items, sets and queries of ``catalogue`` into the stage folder ``encoder``."""
    inputs: EmbedInputs | EndpointConfig
    if isinstance(config, EndpointConfig):
        inputs = config
    else:
        inputs = EmbedInputs(**config.model_dump(), model_sha256=config.fingerprint())
    catalogue = workspace.root / "catalogue"

    def make(folder: Path) -> int:
        return embed_catalogue(config, catalogue, folder)

    return workspace.build("encoder", inputs, seed, parents_of("encoder"), make)


def load_embeddings(workspace: Workspace, kind: Kind) -> tuple[list[str], Array]:
    """Ids and unit embeddings (shape (M, D)) of one kind, in the order of the catalogue."""
    return read_embedding_table(workspace.artifact("encoder").file(f"{kind}.parquet"))


def query_embeddings(workspace: Workspace) -> Callable[[Sequence[HasQueryId]], Array]:
    """A function from queries of the workspace to their unit embeddings, shape (B, D)."""
    ids, emb_BD = load_embeddings(workspace, "queries")
    row_of = {query_id: row for row, query_id in enumerate(ids)}
    return lambda queries: emb_BD[np.array([row_of[query.query_id] for query in queries], dtype=np.int64)]


def embed_catalogue(
    config: EncoderConfig | EndpointConfig, catalogue: Path, folder: Path, actor: type[EmbedBatch] | None = None
) -> int:
    """Embed the parquet files of ``catalogue`` into ``folder``.

    Args:
        config: The settings of the encoder.
        catalogue: The stage folder with the texts.
        folder: An empty folder.
        actor: Class of the actors; None takes ``EmbedBatch``. A benchmark passes one that takes the time.

    Returns:
        The number of embedded rows.

    Raises:
        DataError: The model cannot embed a text, or vectors that entries brought along are not in its space.
    """
    native = folder / "native"
    native.mkdir()
    kinds = kinds_of(catalogue) if config.expansion_weight else KINDS
    counts = {kind: pq.read_metadata(catalogue / f"{kind}.parquet").num_rows for kind in kinds}
    given = [kind for kind in KINDS if given_embeddings(catalogue, kind).exists()]
    if given:
        check_given(config, catalogue, given)
    for kind in given:
        (native / f"{kind}.parquet").symlink_to(given_embeddings(catalogue, kind))
    are_items = "sets" not in given and sets_are_items(catalogue)
    asked = [kind for kind in kinds if kind not in given and not (kind == "sets" and are_items)]
    batches = model_batches(config, catalogue, asked, actor or EmbedBatch)
    _write_native(batches, native, sum(counts[kind] for kind in asked))
    if are_items:
        (native / "sets.parquet").symlink_to("items.parquet")
    if "expansions" in kinds:
        _expand_sets(native, config.expansion_weight)
    moment_DD = sum(second_moment(part[1]) for kind in ("items", "sets") for part in _parts(native, kind))
    projection_Dd = fit_projection(np.asarray(moment_DD), config.dim)
    for kind in KINDS:
        with pq.ParquetWriter(folder / f"{kind}.parquet", embedding_schema(config.dim)) as writer:
            for ids, emb_MD in _parts(native, kind):
                writer.write_table(embedding_table(ids, project(emb_MD, projection_Dd)))
        assert _same_ids(catalogue, folder, kind), f"{kind}: rows were lost or reordered"
    prompts = export(config, catalogue, folder / "model") if isinstance(config, EncoderConfig) else None
    save_encoder(folder / "model", config, projection_Dd, prompts)
    shutil.rmtree(native)
    return sum(counts.values())


def sets_are_items(catalogue: Path) -> bool:
    """Whether each set is an item, with its id and text, as ingest writes a catalogue that has only items."""
    with pq.ParquetFile(catalogue / "items.parquet") as items, pq.ParquetFile(catalogue / "sets.parquet") as sets:
        if items.metadata.num_rows != sets.metadata.num_rows:
            return False
        pairs = zip(
            items.iter_batches(READ_ROWS, columns=["item_id", "text"]),
            sets.iter_batches(READ_ROWS, columns=["set_id", "title", "description"]),
            strict=False,
        )
        return all(
            item.column(0).equals(row.column(0))
            and item.column(1).equals(row.column(1))
            and not pc.any(pc.not_equal(row.column(2), "")).as_py()
            for item, row in pairs
        )


def check_given(config: EncoderConfig | EndpointConfig, catalogue: Path, kinds: Sequence[Kind]) -> None:
    """Check on a worker, which may have the GPU, that given vectors lie in the space of the encoder; see same_space."""

    def check() -> None:
        model = config.build()
        for kind in kinds:
            texts, emb_ND = sample_given(catalogue, kind)
            some = slice(None if config.check_vectors else 1)  # one text gives the width
            require_same_space(model, texts[some], emb_ND[some], f"vectors of {kind}")

    task = ray.remote(check).options(num_cpus=config.actors.cpus, num_gpus=config.actors.gpus)
    ray.get(task.remote())


def export(config: EncoderConfig, catalogue: Path, folder: Path) -> dict[TextKind, str] | None:
    """Write the model in ONNX into ``folder`` on a worker; returns its prompts, or None if torch serves it."""
    if config.runtime == "torch":
        return None
    folder.mkdir(parents=True)

    def write() -> tuple[dict[TextKind, str], str | None]:
        from r4t_ray.encoders.onnx_export import export_encoder

        encoder, texts = config.build(), sample_texts(catalogue, "items")
        encoder.model.to("cpu")
        return encoder.prompts, export_encoder(encoder, folder, texts, to_int8=config.runtime == "onnx_int8")

    prompts, reason = ray.get(ray.remote(write).options(num_cpus=config.actors.cpus).remote())
    if reason is None:
        return prompts
    _logger.warning("encoder.model '%s' is served by torch, because %s", config.model, reason)
    return None


def sample_rows(catalogue: Path, kind: Kind) -> list[int]:
    """A few rows of a catalogue file, spread over it."""
    return spread_rows(pq.read_metadata(catalogue / f"{kind}.parquet").num_rows)


def sample_texts(catalogue: Path, kind: Kind) -> list[str]:
    """The texts of these rows."""
    columns = ["title", "description"] if kind == "sets" else ["text"]
    rows = ds.dataset(catalogue / f"{kind}.parquet").take(sample_rows(catalogue, kind), columns=columns)
    return [*texts_of(kind, rows).to_pylist()]


def sample_given(catalogue: Path, kind: Kind) -> tuple[list[str], Array]:
    """Texts and given vectors of a few entries, spread over the file."""
    rows = sample_rows(catalogue, kind)
    given = ds.dataset(given_embeddings(catalogue, kind)).take(rows, columns=["embedding"])["embedding"]
    flat = given.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return sample_texts(catalogue, kind), flat.reshape(len(rows), -1)


def _write_native(batches: Iterator[pa.Table], native: Path, num_rows: int) -> None:
    """Write the embedded batches, one file per kind, at the model's width."""
    writers: dict[str, pq.ParquetWriter] = {}
    try:
        for batch in track(batches, "embed batches", total=-(-num_rows // STREAM_ROWS)):
            for kind in pc.unique(batch["kind"]).to_pylist():
                part = batch.filter(pc.equal(batch["kind"], kind)).select(["id", "embedding"])
                if kind not in writers:
                    writers[kind] = pq.ParquetWriter(native / f"{kind}.parquet", part.schema)
                writers[kind].write_table(part)
    finally:
        for writer in writers.values():
            writer.close()


def _expand_sets(native: Path, weight: float) -> None:
    """Put moved vectors in the place of the sets' own; see expansions.py."""
    moved = expanded(_parts(native, "sets"), _parts(native, "expansions"), weight)
    with whole_file(native / "sets.parquet") as path:
        writer: pq.ParquetWriter | None = None
        for ids, emb_MD in moved:
            writer = writer or pq.ParquetWriter(path, embedding_schema(emb_MD.shape[1]))
            writer.write_table(embedding_table(ids, emb_MD))
        assert writer is not None, "a catalogue has sets"
        writer.close()


def _parts(folder: Path, kind: str) -> Iterator[tuple[list[str], Array]]:
    """Ids and embeddings of a file at the model's width, in parts of bounded size."""
    path = folder / f"{kind}.parquet"
    if not path.exists():
        return
    for batch in pq.ParquetFile(path).iter_batches(batch_size=READ_ROWS):
        column = batch.column("embedding")
        flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False)
        yield batch.column("id").to_pylist(), flat.reshape(batch.num_rows, -1)


def _same_ids(catalogue: Path, folder: Path, kind: Kind) -> bool:
    given = pq.read_table(catalogue / f"{kind}.parquet", columns=[ID_COLUMNS[kind]])[ID_COLUMNS[kind]]
    return bool(given.equals(pq.read_table(folder / f"{kind}.parquet", columns=["id"])["id"]))
