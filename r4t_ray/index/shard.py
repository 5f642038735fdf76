"""One shard: contiguous rows of a pool in one FAISS index. A search returns exact scores and row numbers of the pool.

FAISS finds the candidates. Their cosines are then computed from the stored rows, one pair of direction and row at a
time. A score therefore depends only on the direction and the row. It does not depend on the batch or the number of
shards. Ties are ordered by row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from r4t_ray.errors import ArtifactError, RequestError
from r4t_ray.index.flat import build_flat, typed
from r4t_ray.index.index_types import INDEX_TYPES, IndexTypeName, Point
from r4t_ray.types import Array, Mask, Rows, Search

INDEX_FILE = "index.json"
TIE_MARGIN = 16
RESCORED_FLOATS = 2**24


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A loaded shard.

    Attributes:
        index: The FAISS index over its rows.
        type: The type of the index.
        offset: The pool row of its first row.
    """

    index: faiss.Index
    type: IndexTypeName
    offset: int

    @cached_property
    def storage(self) -> faiss.Index:
        """The index with its rows, whose search is exhaustive."""
        return INDEX_TYPES[self.type].storage(self.index)

    @property
    def size(self) -> int:
        """Rows in this shard."""
        return int(self.index.ntotal)

    def search(self, search: Search) -> tuple[Array, Rows]:
        """The best rows of each direction by inner product, which is the cosine of unit rows.

        Args:
            search: Directions, number of hits per direction, and the pool rows that may be found.

        Returns:
            ``scores_LK`` in descending order and ``rows_LK`` (rows of the pool), both of shape (L, K). K is
            ``num_hits``, or the size of the shard if that is smaller. Row -1 with score -inf is padding if too few
            rows may be found. Of equal scores the lower row comes first. This order is guaranteed for an exhaustive
            search if at most TIE_MARGIN rows beyond the last hit tie with it.

        Raises:
            RequestError: ``num_hits`` is below 1, the width is wrong, or a value is not finite.
        """
        z_LD = require_queries(search.z_LD, search.num_hits, int(self.index.d))
        num_hits = search.num_hits + len(search.exclude)
        rows_LK = self._candidates(z_LD, num_hits, search.where)
        scores_LK = exact_scores(z_LD, self.storage, rows_LK)
        if self.offset:
            rows_LK = np.where(rows_LK < 0, -1, rows_LK + self.offset)
        scores_LK, rows_LK = best_first(scores_LK, rows_LK, num_hits)
        if not search.exclude:
            return scores_LK, rows_LK
        return leave_out(scores_LK, rows_LK, search.exclude, search.num_hits)

    def vectors(self, rows_K: Rows) -> tuple[Rows, Array]:
        """The pool rows that this shard has among the given ones, and their embeddings, in the same order."""
        own_N = rows_K[(rows_K >= self.offset) & (rows_K < self.offset + self.size)]
        return own_N, self.storage.reconstruct_batch(own_N - self.offset)

    def _candidates(self, z_LD: Array, num_hits: int, where: Rows | Mask | None) -> Rows:
        """Rows of this shard near each direction, (L, ``num_hits`` or more). -1 pads if ``where`` allows fewer rows."""
        allowed = None if where is None else self._own_rows(where)
        num = min(self._with_margin(num_hits), self.size)
        rows_LK = np.full((len(z_LD), num), -1, np.int64)
        parameters = INDEX_TYPES[self.type].parameters(self.index, allowed, num_hits)
        if parameters is not None:
            rows_LK = self.index.search(z_LD, num, params=parameters)[1]
        if rows_LK.min(initial=0) < 0:
            self._fill(rows_LK, z_LD, allowed)
        return rows_LK

    def _with_margin(self, num_hits: int) -> int:
        """The hits to ask FAISS for: TIE_MARGIN more, as far as the search keeps them anyway."""
        candidates, wanted = INDEX_TYPES[self.type].candidates, num_hits + TIE_MARGIN
        return wanted if candidates is None else max(num_hits, min(wanted, candidates(self.index)))

    def _fill(self, rows_LK: Rows, z_LD: Array, allowed: Rows | None) -> None:
        """Search exhaustively for the directions that lack rows, in place."""
        num_allowed = self.size if allowed is None else len(allowed)
        short_L = (rows_LK >= 0).sum(axis=1) < min(rows_LK.shape[1], num_allowed)
        if short_L.any():
            one_by_one = None if allowed is None else INDEX_TYPES[self.type].among(self.storage, allowed)
            rows_LK[short_L] = self.storage.search(z_LD[short_L], rows_LK.shape[1], params=one_by_one)[1]

    def _own_rows(self, where: Rows | Mask) -> Rows:
        """The rows of this shard that ``where`` allows, numbered from its first row, ascending."""
        if where.dtype == np.bool_:
            return np.flatnonzero(where[self.offset : self.offset + self.size])
        rows = np.sort(where).astype(np.int64) - self.offset
        return rows[(rows >= 0) & (rows < self.size)]


def exact_scores(q_BD: Array, storage: faiss.Index, rows_BK: Rows) -> Array:
    """Inner products of each query with its K candidate rows, shape (B, K). The product with row -1 is -inf.

    Rows of another storage than an IndexFlat are copied into one, in parts of RESCORED_FLOATS.
    """
    if isinstance(storage, faiss.IndexFlat):
        return _inner_products(q_BD, storage, rows_BK)
    scores_BK = np.empty(rows_BK.shape, np.float32)
    step = max(1, RESCORED_FLOATS // max(1, rows_BK.shape[1] * q_BD.shape[1]))
    width = max(1, RESCORED_FLOATS // q_BD.shape[1])
    for start in range(0, len(q_BD), step):
        for left in range(0, rows_BK.shape[1], width):
            part = slice(start, start + step), slice(left, left + width)
            rows_bk = rows_BK[part]
            copied = build_flat(storage.reconstruct_batch(np.maximum(rows_bk, 0).ravel()))
            places_bk = np.where(rows_bk < 0, -1, np.arange(rows_bk.size).reshape(rows_bk.shape))
            scores_BK[part] = _inner_products(q_BD[part[0]], copied, places_bk)
    return scores_BK


def _inner_products(q_BD: Array, flat: Any, rows_BK: Rows) -> Array:
    """``exact_scores`` of rows in an IndexFlat."""
    q_BD, rows_BK = np.ascontiguousarray(q_BD, np.float32), np.ascontiguousarray(rows_BK, np.int64)
    scores_BK = np.empty(rows_BK.shape, np.float32)
    queries, scores, rows = (typed.swig_ptr(array) for array in (q_BD, scores_BK, rows_BK))
    flat.compute_distance_subset(len(q_BD), queries, rows_BK.shape[1], scores, rows)
    return scores_BK


def leave_out(scores_LK: Array, rows_LK: Rows, excluded: Sequence[int], num_hits: int) -> tuple[Array, Rows]:
    """Each direction's first ``num_hits`` hits that are not excluded, padded by row -1 with score -inf."""
    is_out_LK = np.isin(rows_LK, excluded)
    order_LK = np.argsort(is_out_LK, axis=1, kind="stable")[:, :num_hits]
    scores_Ln, rows_Ln, is_out_Ln = (np.take_along_axis(each, order_LK, 1) for each in (scores_LK, rows_LK, is_out_LK))
    return np.where(is_out_Ln, -np.inf, scores_Ln).astype(np.float32), np.where(is_out_Ln, -1, rows_Ln)


def merge_topk(scores: Sequence[Array], rows: Sequence[Rows], k: int) -> tuple[Array, Rows]:
    """The k best hits over all shards.

    Args:
        scores: ``scores_BK`` of each shard. K may differ between shards.
        rows: ``rows_BK`` of each shard, as rows of the pool.
        k: Hits to keep. If there are fewer, all are kept.

    Returns:
        ``scores_BK`` in descending order and ``rows_BK``. Of equal scores the lower row comes first.

    >>> merge_topk([np.float32([[0.5]]), np.float32([[0.9, 0.5]])], [np.int64([[7]]), np.int64([[8, 3]])], 2)
    (array([[0.9, 0.5]], dtype=float32), array([[8, 3]]))
    """
    return best_first(np.concatenate(scores, axis=1), np.concatenate(rows, axis=1), k)


def best_first(scores_BK: Array, rows_BK: Rows, k: int) -> tuple[Array, Rows]:
    """The k best hits in descending order of score. Of equal scores the lower row comes first."""
    order_Bk = np.lexsort((rows_BK, -scores_BK), axis=1)[:, :k]
    query_B1 = np.arange(len(order_Bk))[:, None]
    return scores_BK[query_B1, order_Bk], rows_BK[query_B1, order_Bk]


def require_queries(q_BD: Array, k: int, dim: int) -> Array:
    """The query vectors as contiguous float32.

    Raises:
        RequestError: The width is not ``dim``, k is below 1, or a value is not finite.
    """
    q_BD = np.ascontiguousarray(q_BD, dtype=np.float32)
    if q_BD.ndim != 2 or q_BD.shape[1] != dim:
        raise RequestError("query vectors", f"shape {q_BD.shape}", f"(B, {dim})", "encode with the index's own encoder")
    if k < 1:
        raise RequestError("k", str(k), "at least 1", "request at least one hit")
    if not np.isfinite(q_BD).all():
        raise RequestError("query vectors", "a value that is not finite", "finite numbers", "check the encoder")
    return q_BD


def flat_shard(emb_MD: Array, offset: int = 0) -> Shard:
    """A shard in memory with exhaustive search."""
    index = build_flat(emb_MD)
    return Shard(index=index, type="flat", offset=offset)


def shard_file(number: int) -> str:
    """File name of a shard."""
    return f"shard_{number:03d}.faiss"


def load_shard(folder: Path, shard_number: int, point: Point | None = None) -> Shard:
    """Read one shard of ``index/<task>``, and set an operating point.

    ``Workspace.artifact("index")`` checks the sha256; this function does not.

    Args:
        folder: The folder of the pool.
        shard_number: Its number, from 0.
        point: The operating point. None is the one that index.json has.

    Raises:
        ArtifactError: There is no shard of this number, or the file is not an index of the recorded size.
    """
    settings = read_index_file(folder)
    offsets = settings["offsets"]
    if not 0 <= shard_number < len(offsets) - 1:
        raise ArtifactError(
            str(folder), f"shard {shard_number}", f"0 to {len(offsets) - 2}", "request a shard that exists"
        )
    path = folder / shard_file(shard_number)
    index = read_faiss_file(path, "run `r4t build-index`")
    size = offsets[shard_number + 1] - offsets[shard_number]
    if index.ntotal != size or index.d != settings["dim"]:
        raise ArtifactError(
            str(path),
            f"{index.ntotal} rows of width {index.d}",
            f"{size} of width {settings['dim']}",
            "run `r4t build-index`",
        )
    point = point or settings.get("operating_point")
    if point is not None:  # an index.json without one is older, and its point is in the file of the shard
        INDEX_TYPES[settings["type"]].apply(index, point)
    return Shard(index=index, type=settings["type"], offset=offsets[shard_number])


def read_faiss_file(path: Path, fix: str, growth: int = 1) -> faiss.Index:
    """Read an index from a file. One of its vectors may take ``growth`` times the bytes of the file, and no more.

    Raises:
        ArtifactError: The file is no whole index. The message ends with ``fix``.
    """
    try:
        faiss.set_deserialization_vector_byte_limit(growth * path.stat().st_size)
        return faiss.read_index(str(path))
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(str(path), f"an unreadable index ({reason})", "a FAISS index", fix) from None


def load_shards(folder: Path, point: Point | None = None) -> tuple[Shard, ...]:
    """All shards of one index; see ``load_shard``."""
    return tuple(load_shard(folder, number, point) for number in range(len(read_index_file(folder)["offsets"]) - 1))


def read_index_file(folder: Path) -> dict[str, Any]:
    """Read ``index.json`` of one pool. Raises ArtifactError if it is missing or unreadable."""
    try:
        data: dict[str, Any] = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            str(folder / INDEX_FILE), f"unreadable ({error})", "the index's settings", "run `r4t build-index`"
        ) from error
    return data
