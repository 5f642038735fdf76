"""Writing an index: its type is trained once, and the rows of each shard are then added and written to a file.

The shards of a large pool are added in Ray tasks, side by side. A task reads the trained index from the folder, so the
files are the same with any number of CPUs, and without Ray. The trained index and the finished shards of a build that
was stopped are kept, and a second call writes the missing shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from r4t_ray.errors import ConfigError
from r4t_ray.files import remove_leftovers, whole_file, write_json
from r4t_ray.index.index_types import INDEX_TYPES, IndexConfig, IndexTypeName, type_of
from r4t_ray.index.shard import INDEX_FILE, read_faiss_file, read_index_file, shard_file
from r4t_ray.machine.cluster_size import cluster_nodes
from r4t_ray.machine.library_faults import in_our_words
from r4t_ray.machine.ray_sessions import connected_to_ray
from r4t_ray.machine.threads import limit_threads
from r4t_ray.progress import track
from r4t_ray.types import Array

TRAINED_FILE = "trained.faiss"
"""The trained index without rows. It is removed when all shards are written."""
TABLES = 16
"""Bytes in memory for a byte of the trained index, at most. ivf_pq has a table of 32 D bytes for a centroid of 4 D."""


def write_index(config: IndexConfig, emb_MD: Array, folder: Path, **facts: Any) -> dict[str, Any]:
    """Write the shards of an index over the rows of ``emb_MD``, and the settings that ``load_shard`` needs.

    Args:
        config: Type and number of the shards.
        emb_MD: The vectors, shape (M, D).
        folder: Is created, or has files that a stopped call with the same arguments left. These are kept.
        facts: Further entries of index.json.

    Returns:
        The content of index.json. ``type`` is the type that was built, and ``operating_point`` its search parameters.

    Raises:
        ConfigError: There are more shards than rows.
        ArtifactError: A file that a stopped call left cannot be read.
        MachineError: The cluster at RAY_ADDRESS is not there, or a disk is full.
    """
    if not (folder / INDEX_FILE).exists():  # it is written last
        _write_parts(config, emb_MD, folder, facts)
    (folder / TRAINED_FILE).unlink(missing_ok=True)
    return read_index_file(folder)


def _write_parts(config: IndexConfig, emb_MD: Array, folder: Path, facts: dict[str, Any]) -> None:
    size, dim = emb_MD.shape
    kind, offsets = type_of(config, size, dim), shard_offsets(size, config.num_shards)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    if not (folder / TRAINED_FILE).exists():
        _write_faiss(train_index(config, emb_MD), folder / TRAINED_FILE)
    writer = ShardWriter(config=config, type=kind, folder=folder)
    missing = [number for number in range(config.num_shards) if not (folder / shard_file(number)).exists()]
    if is_on_ray(kind, emb_MD.size, len(missing)):
        _write_on_ray(writer, emb_MD, offsets, missing)
    else:
        for number in track(missing, f"build {folder.name}"):
            writer.write(number, emb_MD[offsets[number] : offsets[number + 1]], config.threads)
    point = INDEX_TYPES[kind].default_point(writer.trained(), config)
    found = {"type": kind, "operating_point": point, "size": size, "dim": dim, "offsets": offsets}
    write_json(folder / INDEX_FILE, {**config.model_dump(mode="json"), **facts, **found})


def shard_offsets(num_rows: int, num_shards: int) -> list[int]:
    """The first row of each shard, followed by the number of rows. Sizes of shards differ by at most one.

    Raises:
        ConfigError: There are more shards than rows.

    >>> shard_offsets(7, 3)
    [0, 2, 4, 7]
    """
    if num_shards > num_rows:
        raise ConfigError("index.num_shards", str(num_shards), f"at most {num_rows} rows", "lower index.num_shards")
    return [number * num_rows // num_shards for number in range(num_shards + 1)]


def is_on_ray(kind: IndexTypeName, num_numbers: int, num_missing: int) -> bool:
    """Whether shards are added in Ray tasks: there are several, and together they take longer than Ray's start.

    Args:
        kind: The type of the index.
        num_numbers: Numbers of the pool, rows times width.
        num_missing: Shards to write.
    """
    return num_missing > 1 and num_numbers > INDEX_TYPES[kind].most_alone


def train_index(config: IndexConfig, emb_MD: Array) -> faiss.Index:
    """The trained index without rows. All shards are copies of it, so they have the same centroids and codes."""
    offsets = shard_offsets(len(emb_MD), config.num_shards)
    largest = max(end - start for start, end in pairwise(offsets))
    with faiss_threads(config.threads):
        return INDEX_TYPES[type_of(config, *emb_MD.shape)].train(emb_MD, largest, config)


def build_shards(config: IndexConfig, emb_MD: Array) -> Iterator[faiss.Index]:
    """The index of each shard in memory, in order, at the default operating point."""
    kind, trained = type_of(config, *emb_MD.shape), train_index(config, emb_MD)
    for start, end in pairwise(shard_offsets(len(emb_MD), config.num_shards)):
        index = faiss.clone_index(trained)
        add_rows(index, emb_MD[start:end], kind, config, config.threads)
        yield index


def add_rows(index: faiss.Index, rows_ND: Array, kind: IndexTypeName, config: IndexConfig, num_threads: int) -> None:
    """Add rows to a copy of the trained index, and set the default operating point."""
    with faiss_threads(num_threads):
        index.add(np.ascontiguousarray(rows_ND))
    INDEX_TYPES[kind].apply(index, INDEX_TYPES[kind].default_point(index, config))


@contextmanager
def faiss_threads(num: int) -> Iterator[None]:
    """FAISS has ``num`` threads within the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(num)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class ShardWriter:
    """Writes the files of shards into a folder that has the trained index."""

    config: IndexConfig
    type: IndexTypeName
    folder: Path

    def trained(self) -> faiss.Index:
        """A copy of the trained index."""
        fix = f"remove {self.folder} and run the command again"
        return read_faiss_file(self.folder / TRAINED_FILE, fix, TABLES)

    def write(self, number: int, rows_ND: Array, num_threads: int) -> None:
        """Write the file of a shard from its rows."""
        index = self.trained()
        add_rows(index, rows_ND, self.type, self.config, num_threads)
        _write_faiss(index, self.folder / shard_file(number))

    def write_in_task(self, number: int, rows_ND: Array) -> None:
        """Write the file of a shard in a process whose threads are limited to its CPUs."""
        self.write(number, rows_ND, limit_threads(self.config.threads))


def _write_on_ray(writer: ShardWriter, emb_MD: Array, offsets: Sequence[int], numbers: Sequence[int]) -> None:
    """Write the files of some shards, each in a Ray task. Ray keeps the rows of waiting tasks, on disk if need be."""
    import ray

    with in_our_words(f"build-index: {writer.folder.name}"), connected_to_ray():
        # A task that asks for more CPUs than any node has would wait for ever.
        largest = max((node.get("CPU", 0.0) for node in cluster_nodes() or ()), default=writer.config.threads)
        task = ray.remote(ShardWriter.write_in_task).options(num_cpus=min(writer.config.threads, largest))
        tasks = [task.remote(writer, number, emb_MD[offsets[number] : offsets[number + 1]]) for number in numbers]
        try:
            for each in track(tasks, f"build {writer.folder.name}"):
                ray.get(each)
        except BaseException:
            for each in tasks:
                ray.cancel(each)  # force=True ends this process if the task ends at the same time (Ray 2.60)
            ray.wait(tasks, num_returns=len(tasks))  # then no task writes any more
            raise


def _write_faiss(index: faiss.Index, path: Path) -> None:
    with whole_file(path, keep_existing=True) as partial:
        faiss.write_index(index, str(partial))
