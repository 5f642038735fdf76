"""From generated directions to an answer, by the searches of it, in this process and in a server.

``select_directions`` keeps k of the L directions. Serving, evaluation and drift all call it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.diffusion import SOLVERS, SolverName
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.filtering.caps import Room
from r4t_ray.retrieval.open_task import Labels, OpenTask
from r4t_ray.retrieval.picking import Picked, Searching, pick_by_cosine, pick_by_cosine_with_room, pick_by_score
from r4t_ray.retrieval.request import Generated, RetrieveRequest, named_rows
from r4t_ray.retrieval.response import Direction, Item, MergedItem, RetrieveResponse
from r4t_ray.types import Array, Mask, Rows, Search

if TYPE_CHECKING:
    from r4t_ray.retrieval.filtering.attributes import PoolAttributes

SAME_COSINE = 0.999
"""Cosine from which a direction counts as the embedding of an item; rounding to float16 leaves more."""


def select_directions(z_LD: Array, nearest_rows_L: Rows, nearest_cos_L: Array, k: int, solver: SolverName) -> list[int]:
    """Keep k rows that lead to different items, lie close to them, and differ from each other.

    1. If several rows have the same nearest item, only the row closest to the item stays.
    2. The row closest to its item (most grounded, arXiv 2603.06397 eq. 3) is kept first. Then the row farthest from
       the kept rows is added, one at a time (farthest-point selection by cosine). Ties go to the more grounded row,
       then to the lower row number.
    3. If fewer than k rows are left after step 1, the rows that it removed are added by the same rule.

    If the solver ranks its rows, ``first_distinct`` chooses instead.

    Args:
        z_LD: Generated unit rows.
        nearest_rows_L: Pool row of each row's nearest item.
        nearest_cos_L: Cosine between each row and its nearest item.
        k: Rows to keep.
        solver: The solver that generated the rows.

    Returns:
        k row numbers in the order they were kept.

    Raises:
        RequestError: k is below 1 or above L.
    """
    if not 1 <= k <= len(z_LD):
        raise RequestError("k", str(k), f"1 to {len(z_LD)} (the rows generated)", "ask for fewer directions")
    if SOLVERS[solver].is_ranked:
        return first_distinct(nearest_rows_L, k)
    by_groundedness = sorted(range(len(z_LD)), key=lambda row: (-float(nearest_cos_L[row]), row))
    closest: dict[int, int] = {}
    for row in by_groundedness:
        closest.setdefault(int(nearest_rows_L[row]), row)
    distinct = list(closest.values())
    kept: list[int] = []
    _add_farthest(kept, distinct, z_LD, k)
    _add_farthest(kept, [row for row in by_groundedness if row not in set(distinct)], z_LD, k)
    return kept


def first_distinct(nearest_rows_L: Rows, k: int) -> list[int]:
    """The first k rows that lead to different items. If there are fewer than k, the skipped rows follow in order."""
    distinct = sorted(np.unique(nearest_rows_L, return_index=True)[1].tolist())
    return (distinct + [row for row in range(len(nearest_rows_L)) if row not in distinct])[:k]


def answer(request: RetrieveRequest, opened: OpenTask, generated: Generated) -> Searching[RetrieveResponse]:
    """Search for the items of a request, select k directions, and write the response.

    It yields its searches; see ``picking``. ``picking.run`` answers them by a function.

    Args:
        request: The validated request.
        opened: The task that answers.
        generated: The query's embedding and the generated directions.
    """
    n, room = request.items_per_direction, room_of(request, opened)
    search = Search(
        z_LD=generated.z_LD,
        num_hits=1 if opened.decoder or room else request.total or n or 1,
        exclude=named_rows(request.avoid, opened.pool),
        where=allowed_rows(request, opened),
    )
    scores_LK, rows_LK = yield opened.task, search
    nearest_cos_L, nearest_rows_L = np.ascontiguousarray(scores_LK[:, 0]), np.ascontiguousarray(rows_LK[:, 0])
    kept = select_directions(generated.z_LD, nearest_rows_L, nearest_cos_L, request.k, opened.model.solver)
    z_kD = generated.z_LD[kept]
    wanted = replace(search, z_LD=z_kD, num_hits=n or 1)
    if opened.decoder:
        wanted = replace(wanted, num_hits=request.total or request.k * (n or 1))
        picked = yield from pick_by_score(opened.decoder, generated.z_q_D, wanted, n=n, room=room)
    elif room:
        picked = yield from pick_by_cosine_with_room(wanted, room, request.total)
    else:
        picked = pick_by_cosine((scores_LK[kept], rows_LK[kept]), request.total)
    return compose(request, opened, z_kD, picked)


def allowed_rows(request: RetrieveRequest, opened: OpenTask) -> Mask | None:
    """The rows of the pool that pass the request's filter, or None without a filter."""
    if request.filter is None:
        return None
    assert opened.attributes is not None, "generation_request refuses a filter without attributes"
    return opened.attributes.passing(request.filter)


def room_of(request: RetrieveRequest, opened: OpenTask) -> Room | None:
    """The room that the request's cap leaves, or None without a cap."""
    if request.max_per is None:
        return None
    assert opened.attributes is not None, "generation_request refuses a cap without attributes"
    return Room(opened.attributes.values_of(request.max_per.attribute), request.max_per.n)


def compose(request: RetrieveRequest, opened: OpenTask, z_kD: Array, picked: Picked) -> RetrieveResponse:
    """Write the response.

    Args:
        request: The validated request.
        opened: The task that answers.
        z_kD: The kept directions, unit rows.
        picked: Their items.
    """
    names, attributes = direction_names(opened, z_kD, picked), opened.attributes if request.with_payload else None
    listed_by: defaultdict[int, list[int]] = defaultdict(list)
    for direction, (rows, _) in enumerate(picked.lists):
        for row in rows.tolist():
            listed_by[row].append(direction)
    return RetrieveResponse(
        task=opened.task,
        query=request.query,
        seed=request.seed,
        directions=[
            Direction(index=index, label=names[index], weight=weight, items=_items(opened, rows, scores, attributes))
            for index, ((rows, scores), weight) in enumerate(zip(picked.lists, picked.weights, strict=True))
        ],
        items=[
            MergedItem(**dict(item), directions=listed_by[row])
            for row, item in zip(
                picked.rows_K.tolist(), _items(opened, picked.rows_K, picked.scores_K, attributes), strict=True
            )
        ],
        model=opened.model,
    )


def direction_names(opened: OpenTask, z_kD: Array, picked: Picked) -> list[str | None]:
    """The nearest label of each direction, or the text of its first item if the direction is that item's embedding.

    None for all directions if the task has no labels.
    """
    if not opened.labels:
        return [None] * len(z_kD)
    names: list[str | None] = [*nearest_labels(opened.labels, z_kD)]
    if opened.decoder is None:  # the scores of a decoder are no cosines
        for index, (rows, scores) in enumerate(picked.lists):
            if len(rows) and scores[0] >= SAME_COSINE:
                names[index] = opened.pool.texts[rows[0]]
    return names


def nearest_labels(labels: Labels, z_kD: Array) -> list[str]:
    """The sub-query nearest to each direction."""
    return [labels.texts[row] for row in (z_kD @ labels.emb_ND.T).argmax(axis=1).tolist()]


def _items(opened: OpenTask, rows_K: Rows, scores_K: Array, attributes: PoolAttributes | None) -> list[Item]:
    """Items of the pool with their scores, and their payload if ``attributes`` are given, in the order of the rows."""
    pool = opened.pool
    return [
        Item(id=pool.ids[row], text=pool.texts[row], score=score, payload=attributes and attributes.payload(row))
        for row, score in zip(rows_K.tolist(), scores_K.tolist(), strict=True)
    ]


def _add_farthest(kept: list[int], candidates: list[int], z_LD: Array, k: int) -> None:
    """Add the candidate farthest from ``kept`` by cosine (on a tie the first one), until ``kept`` holds k rows."""
    candidates = list(candidates)
    while candidates and len(kept) < k:
        similarity_kk = z_LD[candidates] @ z_LD[kept].T
        # With an empty ``kept`` all candidates are equal. The first one is taken: it is the most grounded.
        closeness_k = similarity_kk.max(axis=1, initial=-np.inf)
        kept.append(candidates.pop(int(np.argmin(closeness_k))))
