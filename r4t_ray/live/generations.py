"""Generations: snapshots of the live entries, from which a log begins.

``live/generation-000001`` has for each pool the entries and the ids of deleted entries, and a manifest with the sha256
of every file, which is written last. Generation 0 is the workspace without live changes and has no files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r4t_ray.artifacts import MANIFEST
from r4t_ray.embedding_table import embedding_table, read_embedding_table
from r4t_ray.errors import ArtifactError
from r4t_ray.files import flush, sha256_file, whole_folder, write_json
from r4t_ray.live.state import Entry, LiveState
from r4t_ray.types import LivePool

FOLDER = "generation-"
POOLS: tuple[LivePool, ...] = ("items", "sets")
FILTERS: dict[LivePool, pa.DataType] = {"items": pa.string(), "sets": pa.list_(pa.string())}


def generation_folder(live: Path, generation: int) -> Path:
    """The folder of a generation in the folder of live changes."""
    return live / f"{FOLDER}{generation:06d}"


def generations(live: Path) -> list[int]:
    """The generations that have been written, and 0."""
    names = [path.parent.name.removeprefix(FOLDER) for path in live.glob(f"{FOLDER}*/{MANIFEST}")]
    # Folders with other names are unfinished, or copies that a person made.
    return sorted({0} | {int(name) for name in names if name.isdecimal()})


def write_generation(live: Path, state: LiveState, generation: int, parents: Mapping[str, str], dim: int) -> None:
    """Write a state to the disk as a generation. It is whole or not there.

    Args:
        live: The folder of live changes.
        state: The entries.
        generation: Its number.
        parents: Fingerprints of the stages that the entries were made for.
        dim: Width of the embeddings.
    """
    folder = generation_folder(live, generation)
    with whole_folder(folder) as partial:
        for pool in POOLS:
            entries = state.entries(pool)
            emb_MD = np.stack([one.emb_D for one in entries]) if entries else np.empty((0, dim), np.float32)
            table = embedding_table([one.id for one in entries], emb_MD)
            table = table.append_column("text", pa.array([one.text for one in entries], pa.string()))
            filters = pa.array([one.filters for one in entries], FILTERS[pool])
            pq.write_table(table.append_column("filters", filters), partial / f"{pool}.parquet")
            deleted = pa.array(sorted(state.removed(pool)), pa.string())
            pq.write_table(pa.table({"id": deleted}), partial / f"{pool}_deleted.parquet")
        files = {path.name: sha256_file(path) for path in sorted(partial.iterdir())}
        for name in files:
            flush(partial / name)
        write_json(partial / MANIFEST, {"generation": generation, "dim": dim, "parents": parents, "files": files})
        flush(partial)
    flush(live)


def load_generation(live: Path, generation: int, parents: Mapping[str, str], dim: int) -> LiveState:
    """The entries of a generation.

    Args:
        live: The folder of live changes.
        generation: Its number. 0 has no entries.
        parents: Fingerprints of the stages that are here.
        dim: Width of their embeddings.

    Raises:
        ArtifactError: There is no such generation, a file was changed or truncated, or it was made for other artifacts.
    """
    state = LiveState(generation=generation)
    if not generation:
        return state
    folder = generation_folder(live, generation)
    _verify(folder, generations(live), parents, dim)
    for pool in POOLS:
        path = folder / f"{pool}.parquet"
        ids, emb_MD = read_embedding_table(path)
        if emb_MD.shape[1] != dim:
            raise _unusable(path, f"embeddings of width {emb_MD.shape[1]}", f"width {dim}")
        table = pq.read_table(path, columns=["text", "filters"])
        texts, filters = table["text"].to_pylist(), table["filters"].to_pylist()
        deleted = pq.read_table(folder / f"{pool}_deleted.parquet")["id"].to_pylist()
        state.pools[pool] = dict.fromkeys(deleted)
        for at, name in enumerate(ids):
            value = filters[at] if isinstance(filters[at], str) else tuple(filters[at])
            state.pools[pool][name] = Entry(id=name, text=texts[at], filters=value, emb_D=emb_MD[at].copy())
    return state


def _verify(folder: Path, known: list[int], parents: Mapping[str, str], dim: int) -> None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, made_for, width = dict(manifest["files"]), dict(manifest["parents"]), manifest["dim"]
    except FileNotFoundError:
        raise _unusable(folder, "no such generation", f"one of {', '.join(map(str, known))}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(
            folder / MANIFEST, f"an unreadable manifest ({error})", "a manifest as it was written"
        ) from None
    for stage, fingerprint in parents.items():
        if made_for.get(stage) != fingerprint:
            raise _unusable(folder, f"entries made for another '{stage}'", f"the '{stage}' that is here")
    if width != dim:
        raise _unusable(folder, f"embeddings of width {width}", f"width {dim}")
    for name in {f"{pool}{part}.parquet" for pool in POOLS for part in ("", "_deleted")}:
        if not (folder / name).is_file() or sha256_file(folder / name) != files.get(name):
            raise _unusable(folder / name, "another file than was written", f"sha256 {str(files.get(name))[:12]}")


def _unusable(path: Path, got: str, expected: str) -> ArtifactError:
    return ArtifactError(
        str(path), got, expected, "activate another generation, put a copy in its place, or move the folder live away"
    )
