"""FAISS indexes over the pools of both tasks: building, shards and search."""

from r4t_ray.index.build import run
from r4t_ray.index.index_types import IndexConfig, Point
from r4t_ray.index.search import ShardedIndex, fetch_vectors, joined_vectors, load_index, look_up, search_shards
from r4t_ray.index.shard import Shard, flat_shard, load_shard, load_shards, merge_topk, read_index_file
from r4t_ray.index.tuning import Measured, tune
from r4t_ray.index.write import write_index
from r4t_ray.types import POOLS

__all__ = [
    "POOLS",
    "IndexConfig",
    "Measured",
    "Point",
    "Shard",
    "ShardedIndex",
    "fetch_vectors",
    "flat_shard",
    "joined_vectors",
    "load_index",
    "load_shard",
    "load_shards",
    "look_up",
    "merge_topk",
    "read_index_file",
    "run",
    "search_shards",
    "tune",
    "write_index",
]
