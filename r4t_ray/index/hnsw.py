"""Hierarchical navigable small world graph (Malkov and Yashunin, arXiv:1603.09320) over uncompressed rows."""

from __future__ import annotations

from typing import cast

import faiss

from r4t_ray.types import Array


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


def hnsw_storage(index: faiss.IndexHNSWFlat) -> faiss.IndexFlat:
    """The IndexFlat with the rows of the graph."""
    return cast(faiss.IndexFlat, faiss.downcast_index(index.storage))
