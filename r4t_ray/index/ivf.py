"""Inverted lists (Sivic and Zisserman, 2003), which the types ivf_flat, ivf_rabitq and ivf_pq share.

k-means groups the rows into lists. A search scores the rows of the ``nprobe`` lists whose centroids are nearest to the
direction. The compressed types score short codes there, and FAISS then scores the best ``k_factor`` times as many rows
as are wanted from float rows, which lie beside the codes.

The numbers follow from the rows M of a shard, by FAISS's guideline for up to some millions of rows:

- lists: 4 sqrt(M), and at most one for each 39 rows, FAISS's least number of training rows for a centroid;
- training: 64 rows for each list, evenly spaced over the pool, so that all shards have the same centroids;
- probes: 2 sqrt(lists), unless a target recall chose others;
- candidates: 4 times the hits, unless a target recall chose others.

An operating point is chosen for ten hits. A search for more probes proportionally more lists, up to the default number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import faiss
import numpy as np

from r4t_ray.index.flat import selector, typed
from r4t_ray.types import Array, Rows

LEAST_ROWS_PER_LIST = 39
TRAINING_ROWS_PER_LIST = 64
LEAST_TRAINING_ROWS = 16
"""Centroids of a product quantizer of 4 bits. A smaller pool trains on its rows repeated."""
DEFAULT_FACTOR = 4
FACTORS = (1, 2, 4, 8, 16, 32)
"""Values of ``k_factor`` that are tried for a target recall."""
TUNED_HITS = 10
"""Hits of the recall for which an operating point is chosen."""
RERANKED = 32
"""Rows that a search for ten hits re-ranks at ``k_factor`` 1, about."""
ROTATION_SEED = 1234


def num_lists(num_rows: int) -> int:
    """Lists of a shard of ``num_rows`` rows.

    >>> [num_lists(rows) for rows in (1, 1_000, 10_000, 100_000, 1_000_000)]
    [1, 25, 256, 1265, 4000]
    """
    return max(1, min(round(4 * math.sqrt(num_rows)), num_rows // LEAST_ROWS_PER_LIST))


def default_probes(lists: int) -> int:
    """Lists that a search scores, of ``lists``."""
    return min(lists, math.ceil(2 * math.sqrt(lists)))


def training_rows(emb_MD: Array, lists: int) -> Array:
    """Evenly spaced rows of the pool to train on; a pool with too few rows is repeated."""
    step = max(1, len(emb_MD) // (TRAINING_ROWS_PER_LIST * lists))
    sample_ND = emb_MD[::step]
    return np.ascontiguousarray(np.resize(sample_ND, (max(len(sample_ND), LEAST_TRAINING_ROWS), emb_MD.shape[1])))


def train_lists(index: faiss.Index, ivf: faiss.IndexIVF, emb_MD: Array) -> None:
    """Train ``index``, which holds the lists ``ivf``."""
    ivf.cp.min_points_per_centroid = 1  # a small pool has fewer, which is no fault
    ivf.cp.max_points_per_centroid = 2 * TRAINING_ROWS_PER_LIST
    index.train(training_rows(emb_MD, ivf.nlist))


def compressed(emb_MD: Array, make: Callable[[faiss.Index, int], faiss.IndexIVF]) -> faiss.IndexRefineFlat:
    """A trained, empty index of lists of codes, with an IndexFlat of the rows for the re-ranking.

    The rows are rotated at random before they are coded, so that every part of a code holds as much of their variance.
    An odd width gets one more number.

    Args:
        emb_MD: Rows to train on.
        make: Makes the lists from their coarse quantizer and the width of the rotated rows.
    """
    dim = emb_MD.shape[1]
    width = dim + dim % 2
    rotation = faiss.RandomRotationMatrix(dim, width)
    rotation.init(ROTATION_SEED)
    ivf = make(faiss.IndexFlatIP(width), width)
    index = faiss.IndexRefineFlat(faiss.IndexPreTransform(rotation, ivf))
    train_lists(index, ivf, emb_MD)
    return index


def lists_of(index: faiss.Index) -> faiss.IndexIVF:
    """The inverted lists inside an index."""
    return cast(faiss.IndexIVF, typed.extract_index_ivf(index))


def set_probes(index: faiss.Index, point: dict[str, int]) -> None:
    """Set ``nprobe``, and ``k_factor`` if the point has one."""
    lists_of(index).nprobe = point["nprobe"]
    if "k_factor" in point:
        typed.downcast_index(index).k_factor = point["k_factor"]


def probe_points(index: faiss.Index) -> list[dict[str, int]]:
    """Numbers of probes to try, from the cheapest: the powers of two, and all lists."""
    lists = lists_of(index).nlist
    return [{"nprobe": probes} for probes in sorted({2**power for power in range(lists.bit_length())} | {lists})]


def compressed_points(index: faiss.IndexRefineFlat) -> list[dict[str, int]]:
    """Pairs of ``nprobe`` and ``k_factor`` to try, from the one that reads the fewest bytes of codes and rows."""
    ivf = lists_of(index)
    of_probe, of_factor = index.ntotal / ivf.nlist * ivf.code_size, RERANKED * 4 * index.d
    points = [point | {"k_factor": factor} for point in probe_points(index) for factor in FACTORS]
    return sorted(
        points, key=lambda point: (point["nprobe"] * of_probe + point["k_factor"] * of_factor, *point.values())
    )


def lists_among(index: faiss.Index, rows: Rows | None, num_hits: int) -> Any:
    """Parameters of the lists for a search of so many hits among some rows, or among all if they are None.

    If a share p of the rows is allowed, 1/p times as many lists hold as many allowed rows, so the same number of rows
    is scored.
    """
    ivf = lists_of(index)
    more = min(math.ceil(ivf.nprobe * num_hits / TUNED_HITS), default_probes(ivf.nlist))
    probes = max(ivf.nprobe, more)
    if rows is None:
        return typed.SearchParametersIVF(nprobe=probes)
    probes = math.ceil(probes * index.ntotal / max(1, len(rows)))
    return typed.SearchParametersIVF(nprobe=min(probes, ivf.nlist), sel=selector(rows, index.ntotal))


def compressed_parameters(
    index: faiss.IndexRefineFlat, rows: Rows | None, num_hits: int
) -> faiss.SearchParameters | None:
    """Parameters of a search among some rows or all, or None if some are allowed and the lists to score are all lists.

    Scoring the float rows one by one is then cheaper, and exact. With 2 sqrt(lists) probes that is so up to a share of
    2 / sqrt(lists): 3% of a million rows.
    """
    lists = lists_among(index, rows, num_hits)
    if rows is not None and lists.nprobe == lists_of(index).nlist:
        return None
    inside = typed.SearchParametersPreTransform(index_params=lists)
    parameters: faiss.SearchParameters = typed.IndexRefineSearchParameters(
        k_factor=index.k_factor, base_index_params=inside
    )
    return parameters


def refine_storage(index: faiss.IndexRefineFlat) -> faiss.IndexFlat:
    """The IndexFlat with the rows of the re-ranking."""
    return cast(faiss.IndexFlat, faiss.downcast_index(index.refine_index))
