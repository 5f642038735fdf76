"""The index types: their settings, how each is trained and searched, and where its rows are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import faiss
from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.index import flat, hnsw, ivf, ivf_flat, ivf_pq, ivf_rabitq
from r4t_ray.types import Array, Rows

IndexTypeName = Literal["flat", "hnsw", "ivf_flat", "ivf_rabitq", "ivf_pq"]

MOST_FLAT_NUMBERS = 2**20
"""Numbers of a pool, rows times width, up to which ``auto`` is flat: 8,192 rows of width 128. A search of twelve
directions then takes less time than in a graph, and it is exact."""
MOST_GRAPH_NUMBERS = 2**27
"""Numbers of a pool, rows times width, up to which ``auto`` is hnsw: a million rows of width 134."""
MINUTE_OF_GRAPHS, MINUTE_OF_LISTS = 2**25, 2**29
"""Numbers of a pool that one core adds in more than a minute (docs/search.md, "The build"): 262,144 rows of width 128
to graphs, and 4,194,304 to lists. Two cores then save half a minute, which is the start of Ray with a stage."""

Point = dict[str, int]
"""An operating point: the search parameters of an index type by name, such as ``{"nprobe": 64, "k_factor": 4}``."""


class IndexConfig(Settings):
    """The nearest-neighbour index over the pool of each task."""

    type: Literal["auto", IndexTypeName] = Field(
        "auto",
        description="auto is flat for a pool of up to 1,048,576 numbers (rows times width: 8,192 rows of width 128), "
        "hnsw up to 134 million (a million rows of width 128) and ivf_pq above; index.json has the type that was "
        "chosen. flat is an exhaustive search and exact. hnsw searches a graph. The ivf types search lists of similar "
        "rows: ivf_flat has the rows in them, ivf_rabitq and ivf_pq have short codes, and re-rank with the rows. They "
        "are built faster than hnsw.",
    )
    num_shards: int = Field(
        2,
        ge=1,
        description="Shards of each pool. Each shard can have its own deployment. Raise it to spread a large pool over "
        "several nodes.",
    )
    hnsw_m: int = Field(
        32, ge=2, description="Neighbours of a node in the HNSW graph. A larger number raises recall and memory."
    )
    ef_search: int = Field(
        64,
        ge=1,
        description="Candidates of an HNSW search. A larger number raises recall and latency. A search for more hits "
        "has as many candidates as hits.",
    )
    ef_construction: int = Field(
        80,
        ge=1,
        description="Candidates when a row is added to the HNSW graph. A larger number raises recall and build time.",
    )
    target_recall: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Recall of the ten nearest rows that a search should reach, such as 0.99. The cheapest search "
        "parameters that reach it are chosen, on queries of the catalogue and their nearest rows; `ef_search` then "
        "has no effect. A search for more than ten hits raises them. null keeps the defaults of the type.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Threads that build the index. With more than one thread, the HNSW graph differs between runs.",
    )


class IndexType(NamedTuple):
    """What an index type does.

    Attributes:
        train: From the rows of the pool, the number of rows of a shard and the settings, an index without rows.
        storage: Gives the index with its uncompressed rows, whose search is exhaustive.
        among: Parameters of an exhaustive search of the storage among some rows.
        parameters: Parameters of a search of so many hits among some rows, or among all if they are None. It returns
            None for an exhaustive search.
        default_point: The operating point without a target recall, from the index and the settings.
        candidates: Rows that a search keeps for a direction; hits beyond them are worse. None stands for every row that
            it scores.
        points: Operating points to try for a target recall, from the cheapest.
        apply: Sets an operating point.
        most_alone: Numbers of a pool, rows times width, up to which one process adds the shards one after the other.
    """

    train: Callable[[Array, int, IndexConfig], faiss.Index]
    storage: Callable[[Any], faiss.Index]
    among: Callable[[Any, Rows], faiss.SearchParameters]
    parameters: Callable[[Any, Rows | None, int], faiss.SearchParameters | None]
    default_point: Callable[[Any, IndexConfig], Point]
    candidates: Callable[[Any], int] | None
    points: Callable[[Any], list[Point]]
    apply: Callable[[Any, Point], None]
    most_alone: float


def type_of(config: IndexConfig, size: int, dim: int) -> IndexTypeName:
    """The type of the index over ``size`` rows of width ``dim``."""
    if config.type != "auto":
        return config.type
    if size * dim <= MOST_FLAT_NUMBERS:
        return "flat"
    return "hnsw" if size * dim <= MOST_GRAPH_NUMBERS else "ivf_pq"


def _compressed(train: Callable[[Array, int], faiss.Index]) -> IndexType:
    return IndexType(
        train=lambda emb_MD, size, _: train(emb_MD, ivf.num_lists(size)),
        storage=ivf.refine_storage,
        among=flat.flat_among,
        parameters=ivf.compressed_parameters,
        default_point=lambda index, _: _default_probes(index) | {"k_factor": ivf.DEFAULT_FACTOR},
        candidates=None,
        points=ivf.compressed_points,
        apply=ivf.set_probes,
        most_alone=MINUTE_OF_LISTS,
    )


def _default_probes(index: faiss.Index) -> Point:
    return {"nprobe": ivf.default_probes(ivf.lists_of(index).nlist)}


INDEX_TYPES: dict[IndexTypeName, IndexType] = {
    "flat": IndexType(
        train=lambda emb_MD, *_: faiss.IndexFlatIP(emb_MD.shape[1]),
        storage=flat.flat_storage,
        among=flat.flat_among,
        parameters=flat.flat_parameters,
        default_point=lambda *_: {},
        candidates=None,
        points=lambda _: [{}],
        apply=lambda *_: None,
        most_alone=math.inf,
    ),
    "hnsw": IndexType(
        train=lambda emb_MD, _, c: hnsw.new_hnsw(emb_MD.shape[1], c.hnsw_m, c.ef_construction),
        storage=hnsw.hnsw_storage,
        among=flat.flat_among,
        parameters=hnsw.hnsw_parameters,
        default_point=lambda _, c: {"ef_search": c.ef_search},
        candidates=hnsw.num_candidates,
        points=hnsw.candidate_points,
        apply=hnsw.set_candidates,
        most_alone=MINUTE_OF_GRAPHS,
    ),
    "ivf_flat": IndexType(
        train=lambda emb_MD, size, _: ivf_flat.train_ivf_flat(emb_MD, ivf.num_lists(size)),
        storage=ivf_flat.ivf_flat_storage,
        among=ivf_flat.ivf_flat_among,
        parameters=ivf_flat.ivf_flat_parameters,
        default_point=lambda index, _: _default_probes(index),
        candidates=None,
        points=ivf.probe_points,
        apply=ivf.set_probes,
        most_alone=MINUTE_OF_LISTS,
    ),
    "ivf_rabitq": _compressed(ivf_rabitq.train_ivf_rabitq),
    "ivf_pq": _compressed(ivf_pq.train_ivf_pq),
}
