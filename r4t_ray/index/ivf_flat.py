"""Inverted lists of uncompressed rows. A row of width D takes 4 D bytes, and 16 for its number and its place."""

from __future__ import annotations

import faiss

from r4t_ray.index.flat import selector, typed
from r4t_ray.index.ivf import lists_among, lists_of, train_lists
from r4t_ray.types import Array, Rows


def train_ivf_flat(emb_MD: Array, lists: int) -> faiss.IndexIVFFlat:
    """A trained, empty IndexIVFFlat by inner product."""
    dim = emb_MD.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    train_lists(index, index, emb_MD)
    return index


def ivf_flat_parameters(index: faiss.IndexIVFFlat, rows: Rows | None, num_hits: int) -> faiss.SearchParameters:
    """Parameters of a search among some rows or all. Where few are allowed, it scores all lists and is exhaustive."""
    parameters: faiss.SearchParameters = lists_among(index, rows, num_hits)
    return parameters


def ivf_flat_storage(index: faiss.IndexIVFFlat) -> faiss.IndexIVFFlat:
    """A second index over the same lists, which scores all of them and gives a row by its number."""
    ivf = lists_of(index)
    storage = faiss.IndexIVFFlat(ivf.quantizer, ivf.d, ivf.nlist, faiss.METRIC_INNER_PRODUCT)
    typed.downcast_index(storage).replace_invlists(ivf.invlists, False)
    storage.ntotal, storage.nprobe = ivf.ntotal, ivf.nlist
    storage.make_direct_map()
    return storage


def ivf_flat_among(storage: faiss.IndexIVFFlat, rows: Rows) -> faiss.SearchParameters:
    """Parameters with which the storage scores the given rows only."""
    parameters: faiss.SearchParameters = typed.SearchParametersIVF(
        nprobe=storage.nlist, sel=selector(rows, storage.ntotal)
    )
    return parameters
