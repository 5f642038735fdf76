"""New entries of a finished workspace. Its encoder embeds them, and they are searched beside its index.

No stage reads them, so the stages stay current and nothing is trained. ``new_entries/`` has one file for each
pool that gained entries, with columns id, embedding and text: ``items.parquet`` for wscr (weakly supervised
compositional retrieval) and ``sets.parquet`` for oar (open-ended abstract retrieval). Filters need one column more: the
attributes of items, as the text of a JSON object, and the item_ids of sets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.artifacts import NEW_ENTRIES, Artifact, Workspace, read_manifest
from r4t_ray.catalogue import Catalogue, embedding_field, read_new_entries, read_new_vectors
from r4t_ray.catalogue.records import sha256_of_records
from r4t_ray.config import Settings
from r4t_ray.embedding_table import embedding_table, read_embedding_table
from r4t_ray.encoders import CachedEncoder, Encoder, load_encoder, set_text
from r4t_ray.errors import ArtifactError, ConfigError
from r4t_ray.index import POOLS
from r4t_ray.types import Array, Task

COLUMN_OF_FILTERS: dict[Task, str] = {"oar": "item_ids", "wscr": "attributes"}
"""Task -> column of its new entries, and of its pool in the catalogue, that filters need."""


class AddInputs(Settings):
    """Inputs of the new entries: sha256 of the files of items and sets, the field of vectors, and the columns made."""

    sources: dict[str, str]
    embedding_field: str | None
    makes: tuple[str, ...] = ("id", "embedding", "text", "attributes", "item_ids")


@dataclass(frozen=True, kw_only=True)
class NewEntries:
    """New entries of one pool: ids, texts for answers, and unit embeddings, in the same order."""

    ids: list[str]
    texts: list[str]
    emb_MD: Array


def add(workspace: Workspace, *, items: Path | None = None, sets: Path | None = None) -> Artifact:
    """Embed the entries of the files into ``new_entries``, replacing everything that was added before.

    Entries that bring vectors along are not embedded by the encoder.

    Args:
        workspace: A workspace with ``catalogue`` and ``encoder``.
        items: File, folder of parts or glob of new items, in the format of a ``sets`` catalogue.
        sets: The same for new sets.

    Raises:
        ConfigError: Neither file is named, or the encoder's model is not installed.
        DataError: A file cannot be used; see `read_new_entries`.
        ArtifactError: A stage is missing or was changed, or the encoder is not the one that embedded the workspace.
    """
    files = {name: path for name, path in (("items", items), ("sets", sets)) if path is not None}
    if not files:
        raise ConfigError(
            "--items, --sets",
            "neither",
            "a file of new items, of new sets, or both",
            f"name one; to drop the added entries, remove {workspace.root / NEW_ENTRIES}",
        )
    new = read_new_entries(workspace, items, sets)
    vectors = read_new_vectors(workspace, items, sets)
    sources = {name: sha256_of_records(path) for name, path in files.items()}
    inputs = AddInputs(sources=sources, embedding_field=embedding_field(workspace))
    encoder_folder = workspace.root / "encoder"

    def make(folder: Path) -> int:
        encoder = load_encoder(encoder_folder / "model")
        for task, pool in POOLS.items():
            ids, texts = entries_of_pool(new, task)
            if ids:
                table = embedding_table(ids, embed_entries(encoder, texts, vectors, task))
                shown = [row.title for row in new.sets] if task == "oar" else texts
                table = table.append_column("text", pa.array(shown, pa.string()))
                pq.write_table(table.append_column(*column_of_filters(new, task)), folder / f"{pool}.parquet")
        return len(new.items) + len(new.sets)

    return workspace.build(NEW_ENTRIES, inputs, read_manifest(encoder_folder).seed, ["catalogue", "encoder"], make)


def entries_of_pool(new: Catalogue, task: Task) -> tuple[list[str], list[str]]:
    """Ids of the new entries of the task's pool, and the texts that are embedded, as in the embed stage."""
    if task == "oar":
        rows = new.sets
        return [row.set_id for row in rows], [set_text(row.title, row.description) for row in rows]
    return [item.item_id for item in new.items], [item.text for item in new.items]


def embed_entries(
    encoder: Encoder | CachedEncoder, texts: list[str], vectors: Mapping[str, Array], task: Task
) -> Array:
    """Unit rows of the new entries of the task's pool: from their own vectors, or from their texts without any.

    Args:
        encoder: The encoder of the workspace.
        texts: What ``entries_of_pool`` gives.
        vectors: What ``read_new_vectors`` gives.
        task: The task.

    Raises:
        DataError: The vectors are not in the space of the encoder.
    """
    given = vectors.get(POOLS[task])
    if given is None:
        return encoder.encode(texts, "document")
    return encoder.project_given(given, texts, f"vectors of the new {POOLS[task]}")


def column_of_filters(new: Catalogue, task: Task) -> tuple[str, pa.Array]:
    """Name and values of the column that filters need, in the order of ``entries_of_pool``."""
    if task == "oar":
        return COLUMN_OF_FILTERS[task], pa.array([row.item_ids for row in new.sets], pa.list_(pa.string()))
    texts = [json.dumps(item.attributes, ensure_ascii=False) for item in new.items]
    return COLUMN_OF_FILTERS[task], pa.array(texts, pa.string())


def find_new_entries(workspace: Workspace) -> Artifact | None:
    """The verified ``new_entries``, or None if nothing was added; raises what ``Workspace.artifact`` raises."""
    return workspace.artifact(NEW_ENTRIES) if workspace.holds(NEW_ENTRIES) else None


def load_new_entries(workspace: Workspace, task: Task) -> NewEntries | None:
    """The new entries of the task's pool, or None if it has none.

    Raises:
        ArtifactError: A file was changed, truncated or removed, or was made for another ``catalogue`` or ``encoder``.
    """
    artifact, name = find_new_entries(workspace), f"{POOLS[task]}.parquet"
    if artifact is None or name not in artifact.manifest.files:
        return None
    ids, emb_MD = read_embedding_table(artifact.file(name))
    return NewEntries(
        ids=ids, texts=pq.read_table(artifact.file(name), columns=["text"])["text"].to_pylist(), emb_MD=emb_MD
    )


def new_column_of_filters(workspace: Workspace, task: Task) -> pa.Table | None:
    """The columns id and ``COLUMN_OF_FILTERS`` of the task's new entries, or None if it has none.

    Raises:
        ArtifactError: A file was changed, or an earlier version wrote it without the column.
    """
    artifact, name = find_new_entries(workspace), f"{POOLS[task]}.parquet"
    if artifact is None or name not in artifact.manifest.files:
        return None
    path, column = artifact.file(name), COLUMN_OF_FILTERS[task]
    if column not in pq.read_schema(path).names:
        raise ArtifactError(str(path), f"no column {column}", "new entries of this version", "run `r4t add` again")
    return pq.read_table(path, columns=["id", column])
