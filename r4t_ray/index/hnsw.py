"""Hierarchical navigable small world graph (Malkov and Yashunin, arXiv:1603.09320) over uncompressed rows."""

from __future__ import annotations

import math
from typing import Any, cast

import faiss
import numpy as np

from r4t_ray.types import Array, Rows

SCORED_PER_CANDIDATE = 16
"""Rows that a search of the graph scores for each of its candidates, about. It decides when an exhaustive search of the
allowed rows is cheaper."""


def build_hnsw(emb_MD: Array, m: int, ef_construction: int, ef_search: int) -> faiss.IndexHNSWFlat:
    """An IndexHNSWFlat by inner product.

    Args:
        emb_MD: Unit rows, shape (M, D).
        m: Neighbours of a node; 2 m in the lowest layer.
        ef_construction: Candidates when a row is added.
        ef_search: Candidates of a search. FAISS uses k if k is larger.
    """
    index = faiss.IndexHNSWFlat(emb_MD.shape[1], m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = ef_construction
    index.hnsw.efSearch = ef_search
    index.add(emb_MD)
    return index


def hnsw_parameters(index: faiss.IndexHNSWFlat, rows: Rows, num_hits: int) -> faiss.SearchParameters | None:
    """Parameters of a search among some rows, or None if scoring these rows one by one is cheaper.

    FAISS walks the whole graph, and keeps what the selector allows. If a share p of the rows is allowed, the search
    needs 1/p times as many candidates for the same recall, so it scores about SCORED_PER_CANDIDATE * ef / p rows. An
    exhaustive search scores p * M rows. For a pool of a million rows and ef 64 it is cheaper up to 32,000 rows.

    Args:
        index: The graph.
        rows: The allowed rows, ascending.
        num_hits: Hits of each direction.
    """
    size, num_candidates = index.ntotal, max(index.hnsw.efSearch, num_hits)
    if len(rows) ** 2 <= SCORED_PER_CANDIDATE * num_candidates * size:
        return None
    is_allowed_M = np.zeros(size, dtype=bool)
    is_allowed_M[rows] = True
    typed: Any = faiss  # its type stubs lack these constructors
    selector = typed.IDSelectorBitmap(np.packbits(is_allowed_M, bitorder="little"))
    parameters: faiss.SearchParameters = typed.SearchParametersHNSW(
        efSearch=math.ceil(num_candidates * size / len(rows)), sel=selector
    )
    return parameters


def hnsw_storage(index: faiss.IndexHNSWFlat) -> faiss.IndexFlat:
    """The IndexFlat with the rows of the graph."""
    return cast(faiss.IndexFlat, faiss.downcast_index(index.storage))
