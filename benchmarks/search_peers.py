"""The engines that benchmarks.search compares: our index types, and hnswlib, usearch and qdrant-edge-py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from r4t_ray.index.index_types import INDEX_TYPES, IndexConfig, IndexTypeName, Point
from r4t_ray.types import Array, Rows, Search

HITS = 10
M, EF_CONSTRUCTION = 32, 80
"""Graph settings of every engine with a graph: the defaults of ``IndexConfig``."""
EF = tuple({"ef_search": size} for size in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512))
UPSERTED = 10_000


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A built index.

    Attributes:
        points: Operating points, from the cheapest.
        search: The HITS nearest rows of each direction (L, HITS), at a point.
        num_bytes: Bytes of the saved index, its rows included.
    """

    points: tuple[Point, ...]
    search: Callable[[Array, Point], Rows]
    num_bytes: int


@contextmanager
def own_type(kind: IndexTypeName, emb_MD: Array) -> Iterator[Engine]:
    """One of our index types in one shard, searched as a server searches it: with exact scores."""
    import faiss

    from r4t_ray.index import Shard
    from r4t_ray.index.write import build_shards

    (index,) = build_shards(IndexConfig(type=kind, num_shards=1), emb_MD)
    shard = Shard(index=index, type=kind, offset=0)

    def search(z_LD: Array, point: Point) -> Rows:
        INDEX_TYPES[kind].apply(index, point)
        return shard.search(Search(z_LD=z_LD, num_hits=HITS))[1]

    num_bytes = len(faiss.serialize_index(index))
    yield Engine(points=tuple(INDEX_TYPES[kind].points(index)), search=search, num_bytes=num_bytes)


@contextmanager
def hnswlib_graph(emb_MD: Array) -> Iterator[Engine]:
    """hnswlib, inner product, one thread."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=emb_MD.shape[1])
    index.init_index(max_elements=len(emb_MD), M=M, ef_construction=EF_CONSTRUCTION, random_seed=0)
    index.set_num_threads(1)
    index.add_items(emb_MD, num_threads=1)

    def search(z_LD: Array, point: Point) -> Rows:
        index.set_ef(point["ef_search"])
        return np.asarray(index.knn_query(z_LD, HITS, num_threads=1)[0], dtype=np.int64)

    yield Engine(points=EF, search=search, num_bytes=index.index_file_size())


@contextmanager
def usearch_graph(emb_MD: Array) -> Iterator[Engine]:
    """Usearch, inner product, float32, one thread."""
    from usearch.index import Index

    index = Index(
        ndim=emb_MD.shape[1],
        metric="ip",
        dtype="f32",
        connectivity=M,
        expansion_add=EF_CONSTRUCTION,
    )
    index.add(np.arange(len(emb_MD)), emb_MD, threads=1)

    def search(z_LD: Array, point: Point) -> Rows:
        index.expansion_search = point["ef_search"]
        return np.asarray(index.search(z_LD, HITS, threads=1).keys, dtype=np.int64).reshape(len(z_LD), -1)

    yield Engine(points=EF, search=search, num_bytes=index.serialized_length)


@contextmanager
def qdrant_edge_graph(emb_MD: Array) -> Iterator[Engine]:
    """qdrant-edge-py, inner product, one indexing and one search thread, one batch call a request."""
    import qdrant_edge as edge

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        graph = edge.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCTION, full_scan_threshold=0, max_indexing_threads=1)
        vectors = edge.EdgeVectorParams(size=emb_MD.shape[1], distance=edge.Distance.Dot)
        optimizers = edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1)
        config = edge.EdgeConfig(
            vectors=vectors, hnsw_config=graph, optimizers=optimizers, max_search_threads=1, wal_enabled=False
        )
        shard = edge.EdgeShard.create(folder, config)
        stack.callback(shard.close)
        for start in range(0, len(emb_MD), UPSERTED):
            rows = enumerate(emb_MD[start : start + UPSERTED].tolist(), start)
            shard.update(edge.UpdateOperation.upsert_points([edge.Point(row, vector) for row, vector in rows]))
        shard.optimize()
        shard.flush()

        def search(z_LD: Array, point: Point) -> Rows:
            at = edge.SearchParams(hnsw_ef=point["ef_search"])
            asked = [edge.QueryRequest(limit=HITS, query=edge.Query.Nearest(z_D), params=at) for z_D in z_LD.tolist()]
            found = shard.query_batch(edge.QueryBatchRequest(asked))
            return np.array([[hit.id for hit in hits] for hits in found], dtype=np.int64)

        num_bytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        yield Engine(points=EF, search=search, num_bytes=num_bytes)


Build = Callable[[Array], AbstractContextManager[Engine]]
PEERS: dict[str, Build] = {"hnswlib": hnswlib_graph, "usearch": usearch_graph, "qdrant-edge-py": qdrant_edge_graph}
"""What builds each peer. They are no dependency: `pip install hnswlib usearch qdrant-edge-py`."""
PACKAGES = {"hnswlib": "hnswlib", "usearch": "usearch", "qdrant-edge-py": "qdrant_edge"}
"""The module of each peer."""
