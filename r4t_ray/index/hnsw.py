"""Hierarchical navigable small world graph (Malkov and Yashunin, arXiv:1603.09320) over uncompressed rows.

A row of width D takes 4 D bytes, and about 8 ``hnsw_m`` bytes in the graph.
"""

from __future__ import annotations

import math
from typing import cast

import faiss

from r4t_ray.index.flat import selector, typed
from r4t_ray.types import Rows

SCORED_PER_CANDIDATE = 16
"""Rows that a search of the graph scores for each of its candidates, about. It decides when an exhaustive search of the
allowed rows is cheaper."""
LEAST_CANDIDATES, MOST_CANDIDATES = 10, 1024
"""Smallest and largest ``ef_search`` that is tried for a target recall. The recall is that of ten rows."""


def new_hnsw(dim: int, m: int, ef_construction: int) -> faiss.IndexHNSWFlat:
    """An empty IndexHNSWFlat by inner product.

    Args:
        dim: Width of the rows.
        m: Neighbours of a node; 2 m in the lowest layer.
        ef_construction: Candidates when a row is added.
    """
    index = faiss.IndexHNSWFlat(dim, m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = ef_construction
    return index


def set_candidates(index: faiss.IndexHNSWFlat, point: dict[str, int]) -> None:
    """Set the least number of candidates of a search."""
    index.hnsw.efSearch = point["ef_search"]


def num_candidates(index: faiss.IndexHNSWFlat) -> int:
    """The candidates of a search."""
    return int(index.hnsw.efSearch)


def candidate_points(index: faiss.IndexHNSWFlat) -> list[dict[str, int]]:
    """Numbers of candidates to try, from the cheapest: 10, 16, 24, 32, 48 and so on up to MOST_CANDIDATES."""
    sizes = sorted({size * 2**power for size in (16, 24) for power in range(7)} & set(range(MOST_CANDIDATES + 1)))
    return [{"ef_search": size} for size in (LEAST_CANDIDATES, *sizes)]


def hnsw_parameters(index: faiss.IndexHNSWFlat, rows: Rows | None, num_hits: int) -> faiss.SearchParameters | None:
    """Parameters of a search among some rows or all, or None if scoring them one by one is cheaper.

    A search has at least as many candidates as hits. FAISS walks the whole graph, and keeps what the selector allows.
    If a share p of the rows is allowed, the search needs 1/p times as many candidates for the same recall, so it scores
    about SCORED_PER_CANDIDATE * ef / p rows. An exhaustive search scores p * M rows. For a pool of a million rows and
    ef 64 it is cheaper up to 32,000 rows.

    Args:
        index: The graph.
        rows: The allowed rows, ascending. None allows all.
        num_hits: Hits of each direction.
    """
    size, num_candidates = index.ntotal, max(index.hnsw.efSearch, num_hits)
    num_allowed = size if rows is None else len(rows)
    if num_allowed**2 <= SCORED_PER_CANDIDATE * num_candidates * size:
        return None
    allowed = {} if rows is None else {"sel": selector(rows, size)}
    parameters: faiss.SearchParameters = typed.SearchParametersHNSW(
        efSearch=math.ceil(num_candidates * size / num_allowed), **allowed
    )
    return parameters


def hnsw_storage(index: faiss.IndexHNSWFlat) -> faiss.IndexFlat:
    """The IndexFlat with the rows of the graph."""
    return cast(faiss.IndexFlat, faiss.downcast_index(index.storage))
