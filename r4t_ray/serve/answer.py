"""From generated directions and their hits to an answer: pure functions that the gateway and the local path share.

Where this leaves DESIGN's general rule for k of L: shards send ids and scores, never vectors, so the vectors of the
nearest items are not at hand. The generated direction, which its nearest item approximates, stands for that item when
`select_directions` measures diversity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from r4t_ray.diffusion import RANKED_SOLVERS, select_directions
from r4t_ray.errors import RequestError
from r4t_ray.serve.schema import Direction, Item, MergedItem, ModelInfo, RetrieveRequest, RetrieveResponse
from r4t_ray.types import Array, Rows, Task


@dataclass(frozen=True)
class Pool:
    """What a task retrieves from: ids and texts in the index's row order."""

    ids: list[str]
    texts: list[str]

    def item(self, row: int, score: float) -> Item:
        """The item in ``row``, with the cosine that found it."""
        return Item(id=self.ids[row], text=self.texts[row], score=score)


def check_k(k: int, num_rows: int) -> None:
    """Raise RequestError unless the model's ``num_rows`` = L directions suffice for ``k``."""
    if k > num_rows:
        raise RequestError("k", str(k), f"1 to {num_rows}, the directions this model generates", "ask for fewer")


def keep_directions(z_LD: Array, scores_LK: Array, rows_LK: Rows, k: int, solver: str) -> list[int]:
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
    return select_directions(z_LD, nearest_rows_L, z_LD, nearest_cos_L, k, ranked=solver in RANKED_SOLVERS)


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
    request: RetrieveRequest, task: Task, z_LD: Array, scores_LK: Array, rows_LK: Rows, pool: Pool, model: ModelInfo
) -> RetrieveResponse:
    """Select k directions, merge their items, and write the response.

    Args:
        request: The validated question.
        task: Which pool and model answered.
        z_LD: Generated directions, unit rows.
        scores_LK: Cosines of each direction's n nearest items, best first.
        rows_LK: Their pool rows.
        pool: Ids and texts of the pool.
        model: What answered.
    """
    kept = keep_directions(z_LD, scores_LK, rows_LK, request.k, model.solver)
    scores_kK, rows_kK = scores_LK[kept], rows_LK[kept]
    directions = [
        Direction(
            index=index,
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
