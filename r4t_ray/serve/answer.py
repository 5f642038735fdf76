"""From generated directions and their hits to an answer: pure functions that the gateway and the local path share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from r4t_ray.diffusion import SOLVERS, SolverName, select_directions
from r4t_ray.errors import RequestError
from r4t_ray.serve.schema import Direction, Item, MergedItem, ModelInfo, RetrieveRequest, RetrieveResponse
from r4t_ray.types import Array, Rows, Task


@dataclass(frozen=True)
class Pool:
    """What a task retrieves from: ids and texts in the index's row order."""

    ids: list[str]
    texts: list[str]

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Id -> row."""
        return {identifier: row for row, identifier in enumerate(self.ids)}

    def in_words(self, wishes: Sequence[str]) -> tuple[str, ...]:
        """The text of each wish that is an id of the pool, and the others as they are."""
        return tuple(self.texts[self.row_of[wish]] if wish in self.row_of else wish for wish in wishes)

    def rows(self, wishes: Sequence[str]) -> list[int]:
        """The rows of those wishes that are ids of the pool."""
        return [self.row_of[wish] for wish in wishes if wish in self.row_of]

    def item(self, row: int, score: float) -> Item:
        """The item in ``row``, with the cosine that found it."""
        return Item(id=self.ids[row], text=self.texts[row], score=score)


@dataclass(frozen=True)
class Labels:
    """Sub-queries that the language model wrote for the training queries, and their unit embeddings (N, D)."""

    texts: list[str]
    emb_ND: Array

    def nearest(self, z_kD: Array) -> list[str]:
        """The sub-query nearest to each direction."""
        return [self.texts[row] for row in (z_kD @ self.emb_ND.T).argmax(axis=1).tolist()]


def check_k(k: int, num_rows: int) -> None:
    """Raise RequestError unless the model's ``num_rows`` = L directions suffice for ``k``."""
    if k > num_rows:
        raise RequestError("k", str(k), f"1 to {num_rows}, the directions this model generates", "ask for fewer")


def keep_directions(z_LD: Array, scores_LK: Array, rows_LK: Rows, k: int, solver: SolverName) -> list[int]:
    """Choose k of the L generated directions by their nearest items: distinct ones, near ones, diverse ones.

    Directions that a ranking solver gave stay in its order; of them the first distinct ones are kept.

    Args:
        z_LD: Generated directions, unit rows.
        scores_LK: Cosines of each direction's hits, best first.
        rows_LK: Pool rows of those hits.
        k: How many to keep, at most L.
        solver: What generated them.

    Returns:
        Positions in 0..L-1, in the order chosen.
    """
    nearest_cos_L = np.ascontiguousarray(scores_LK[:, 0])
    nearest_rows_L = np.ascontiguousarray(rows_LK[:, 0])
    return select_directions(z_LD, nearest_rows_L, nearest_cos_L, k, ranked=SOLVERS[solver].is_ranked)


def leave_out(scores_LK: Array, rows_LK: Rows, rows: Sequence[int], n: int) -> tuple[Array, Rows]:
    """Each direction's first n hits that are none of ``rows``; fewer are followed by row -1."""
    is_out_LK = np.isin(rows_LK, rows)
    order_LK = np.argsort(is_out_LK, axis=1, kind="stable")[:, :n]
    scores_Ln, rows_Ln, is_out_Ln = (np.take_along_axis(each, order_LK, 1) for each in (scores_LK, rows_LK, is_out_LK))
    return np.where(is_out_Ln, -np.inf, scores_Ln).astype(np.float32), np.where(is_out_Ln, -1, rows_Ln)


def merge_directions(scores_kK: Array, rows_kK: Rows) -> list[tuple[int, float, list[int]]]:
    """Union of the directions' hits.

    Returns:
        (pool row, best cosine, directions that found it), by falling cosine, ties by rising row. Rows below 0, which
        FAISS gives where it found too few, are left out.
    """
    found: dict[int, tuple[float, list[int]]] = {}
    for direction, (scores_K, rows_K) in enumerate(zip(scores_kK, rows_kK, strict=True)):
        for score, row in zip(scores_K.tolist(), rows_K.tolist(), strict=True):
            if row < 0:
                continue
            best, directions = found.get(row, (score, []))
            found[row] = (max(best, score), [*directions, direction])
    merged = [(row, score, directions) for row, (score, directions) in found.items()]
    return sorted(merged, key=lambda entry: (-entry[1], entry[0]))


def compose(
    request: RetrieveRequest,
    task: Task,
    z_LD: Array,
    scores_LK: Array,
    rows_LK: Rows,
    pool: Pool,
    model: ModelInfo,
    labels: Labels | None = None,
) -> RetrieveResponse:
    """Leave out what is avoided, select k directions, merge their items, and write the response.

    Args:
        request: The validated question.
        task: Which pool and model answered.
        z_LD: Generated directions, unit rows.
        scores_LK: Cosines of each direction's nearest items, best first: n and one for each item avoided.
        rows_LK: Their pool rows.
        pool: Ids and texts of the pool.
        model: What answered.
        labels: What directions are called, where that is known.
    """
    scores_LK, rows_LK = leave_out(scores_LK, rows_LK, pool.rows(request.avoid), request.n)
    kept = keep_directions(z_LD, scores_LK, rows_LK, request.k, model.solver)
    scores_kK, rows_kK = scores_LK[kept], rows_LK[kept]
    names = labels.nearest(z_LD[kept]) if labels else [None] * len(kept)
    directions = [
        Direction(
            index=index,
            label=names[index],
            items=[
                pool.item(row, score) for row, score in zip(rows_K.tolist(), scores_K.tolist(), strict=True) if row >= 0
            ],
        )
        for index, (scores_K, rows_K) in enumerate(zip(scores_kK, rows_kK, strict=True))
    ]
    items = [
        MergedItem(id=pool.ids[row], text=pool.texts[row], score=score, directions=found_by)
        for row, score, found_by in merge_directions(scores_kK, rows_kK)
    ]
    return RetrieveResponse(
        task=task, query=request.query, seed=request.seed, directions=directions, items=items, model=model
    )
