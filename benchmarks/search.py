"""Time the search of our index types beside hnswlib, usearch and qdrant-edge-py: recall, time, size and build time.

``python -m benchmarks.search WORKSPACE`` needs a workspace that can be served. The rows are the embeddings of its pool;
rows beyond them are copies with noise. The queries are directions that its retriever generates, 10 for each request.
Every engine has one thread. Its operating points are tried from the cheapest, until one finds ``--target`` of the ten
nearest rows of an exhaustive search. A package that is not installed gives a row that says so. Build time is the CPU
time of the process, and MB is the size of the saved index.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.search_peers import HITS, PACKAGES, PEERS, Build, Engine, own_type
from benchmarks.tables.search import search_table
from r4t_ray.index.index_types import INDEX_TYPES, IndexTypeName, Point
from r4t_ray.index.tuning import recall as rows_found
from r4t_ray.measures.bootstrap import bootstrap_mean
from r4t_ray.types import POOLS, Array, Rows, Task


class SearchSettings(BenchmarkSettings):
    """The rows, the queries and the engines."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder of a workspace that can be served.")
    sizes: tuple[PositiveInt, ...] = Field((10_000, 100_000, 1_000_000), description="Rows of the pool, one run each.")
    task: Task = Field("wscr", description="Task whose pool and retriever are used.")
    requests: PositiveInt = Field(64, description="Requests of 10 directions, each of another query.")
    target: float = Field(0.99, gt=0, le=1, description="Recall of the ten nearest rows that ends the trials.")
    noise: PositiveFloat = Field(0.5, description="Length of the noise of rows beyond the catalogue.")
    seed: int = Field(0, description="Seed of the queries and of the noise.")
    own: tuple[IndexTypeName, ...] = Field(tuple(INDEX_TYPES), description="Our index types that are measured.")


def measure(settings: SearchSettings) -> Result:
    """Measure every engine at every size; the file is written after each."""
    import faiss
    import torch

    from r4t_ray.artifacts import Workspace
    from r4t_ray.embedding_table import read_embedding_table
    from r4t_ray.evaluation.operating_points import directions

    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    result, workspace = new_result("search", settings), Workspace(settings.workspace)
    pool_MD = read_embedding_table(workspace.artifact("encoder").file(f"{POOLS[settings.task]}.parquet"))[1]
    z_ND = directions(workspace, settings.task, settings.seed, settings.requests)
    for size in settings.sizes:
        emb_MD = grown(pool_MD, size, settings.noise, settings.seed)
        with own_type("flat", emb_MD) as exact:
            true_NK = np.concatenate([exact.search(z_LD, {}) for z_LD in in_requests(z_ND)])
        for builder in engines(settings):
            result.rows += measured(builder, emb_MD, z_ND, true_NK, settings)
            result.write(settings.out)
    return result


def engines(settings: SearchSettings) -> Iterator[tuple[str, Build]]:
    """Name and builder of each engine, ours first."""
    for kind in settings.own:
        yield kind, partial(own_type, kind)
    yield from PEERS.items()


def grown(pool_MD: Array, size: int, noise: float, seed: int) -> Array:
    """``size`` unit rows: the pool, or its first rows, and then copies of random rows with Gaussian noise.

    The noise of a row has an expected length of about ``noise``.
    """
    if size <= len(pool_MD):
        return pool_MD[:size]
    rng, dim = np.random.default_rng(seed), pool_MD.shape[1]
    copies_ND = pool_MD[rng.integers(0, len(pool_MD), size - len(pool_MD))]
    copies_ND += rng.standard_normal(copies_ND.shape, np.float32) * np.float32(noise / np.sqrt(dim))
    copies_ND /= np.linalg.norm(copies_ND, axis=1, keepdims=True)
    return np.concatenate([pool_MD, copies_ND])


def in_requests(z_ND: Array) -> list[Array]:
    """The directions of each request."""
    return [z_ND[start : start + HITS] for start in range(0, len(z_ND), HITS)]


def measured(
    builder: tuple[str, Build], emb_MD: Array, z_ND: Array, true_NK: Rows, settings: SearchSettings
) -> list[ResultRow]:
    """Build an engine and try its operating points; returns the points that find more than every cheaper one."""
    name, build = builder
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        return [{"engine": name, "rows": len(emb_MD), "not_measured": f"{name} is not installed"}]
    rows: list[ResultRow] = []
    started = time.process_time()
    with build(emb_MD) as engine:
        facts = {"engine": name, "rows": len(emb_MD), "bytes": engine.num_bytes}
        facts["build_s"] = time.process_time() - started
        for point in engine.points:
            found = tried(engine, point, z_ND, true_NK, settings.seed)
            if not rows or found["recall"] > rows[-1]["recall"]:
                rows.append({**facts, "point": point, **found})
            if found["recall"] >= settings.target:
                break
    return rows


def tried(engine: Engine, point: Point, z_ND: Array, true_NK: Rows, seed: int) -> ResultRow:
    """Recall at a point, and the mean milliseconds of a request; ``cpu_ms`` is the CPU time of all its threads.

    One request before them is not timed.
    """
    requests, found, ms = in_requests(z_ND), [], []
    engine.search(requests[0], point)
    cpu = time.process_time()
    for z_LD in requests:
        started = time.perf_counter()
        found.append(engine.search(z_LD, point))
        ms.append((time.perf_counter() - started) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / len(requests)
    recall = rows_found(np.concatenate(found), true_NK)
    return {"recall": recall, "ms": asdict(bootstrap_mean(np.array(ms), 1000, seed)), "cpu_ms": cpu_ms}


BENCHMARK = Benchmark(
    name="search",
    settings=SearchSettings,
    measure=measure,
    tables=lambda result: [search_table(result)],
    about=__doc__ or "",
)

if __name__ == "__main__":
    BENCHMARK.main()
