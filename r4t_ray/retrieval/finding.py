"""The directions of an answer and their items, by the searches of a request.

``select_directions`` keeps k of the L directions. Serving, evaluation and drift all call it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from r4t_ray.diffusion import SOLVERS, SolverName
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.filtering.caps import Room, TextValues, Values
from r4t_ray.retrieval.generation import Generated, allowed_rows, excluded_rows
from r4t_ray.retrieval.open_task import OpenTask
from r4t_ray.retrieval.picking import (
    Picked,
    Searching,
    page_of,
    pick_by_cosine,
    pick_by_cosine_with_room,
    pick_by_score,
)
from r4t_ray.retrieval.request import DEFAULT_N, RetrieveRequest
from r4t_ray.retrieval.similarity import marginally_relevant, nearest
from r4t_ray.types import Array, Rows, Search


@dataclass(frozen=True, kw_only=True)
class Found:
    """The directions of an answer and their items.

    Attributes:
        z_kD: The kept directions, unit rows.
        nearest_rows_k: The pool row of the entry nearest to each that may be found; -1 if there is none.
        nearest_cos_k: The cosine of each to that entry; -inf if there is none.
        picked: Their items.
        has_query: Whether the last direction is the query.
        sub_queries: The texts of the other directions, if a language model wrote them.
    """

    z_kD: Array
    nearest_rows_k: Rows
    nearest_cos_k: Array
    picked: Picked
    has_query: bool
    sub_queries: tuple[str, ...] = ()


def find(request: RetrieveRequest, opened: OpenTask, generated: Generated) -> Searching[Found]:
    """The directions of a request and their items, by its method."""
    search = Search(
        z_LD=generated.z_LD,
        num_hits=1,
        exclude=excluded_rows(request, opened.pool),
        where=(yield from allowed_rows(request, opened, generated.z_q_D)),
    )
    by_method = by_directions if request.has_fan_out else by_similarity
    return (yield from by_method(request, opened, generated, search))


def by_directions(request: RetrieveRequest, opened: OpenTask, generated: Generated, search: Search) -> Searching[Found]:
    """K of the generated directions, with the query as one more if the request includes it, and their items.

    All sub-queries of a language model are kept.
    """
    n, room = request.items_per_direction, room_of(request, opened)
    num_made, z_LD = len(generated.z_LD), generated.z_LD
    if request.include_query:
        # The length of a direction is a factor of its cosines.
        z_LD = np.concatenate([z_LD, np.float32(request.query_weight) * generated.z_q_D[None]])
    num_hits = 1 if opened.decoder or room else request.depth or n or 1
    search = replace(search, z_LD=z_LD, num_hits=num_hits)
    scores_LK, rows_LK = yield opened.task, search
    nearest_cos_L, nearest_rows_L = (np.ascontiguousarray(each[:, 0]) for each in (scores_LK, rows_LK))
    kept = [*range(num_made)]
    if not generated.sub_queries:
        made = generated.z_LD, nearest_rows_L[:num_made], nearest_cos_L[:num_made]
        kept = select_directions(*made, request.k, opened.model.solver)
    z_kD, nearest_cos_k = z_LD[kept], nearest_cos_L[kept]
    if request.include_query:
        kept.append(num_made)
        z_kD = np.concatenate([z_kD, generated.z_q_D[None]])
        nearest_cos_k = np.append(nearest_cos_k, nearest_cos_L[-1] / np.float32(request.query_weight))
    wanted = replace(search, z_LD=z_LD[kept], num_hits=n or 1)
    if opened.decoder:
        wanted = replace(wanted, num_hits=request.depth or len(kept) * (n or 1))
        picked = yield from pick_by_score(opened.decoder, generated.z_q_D, wanted, n=n, room=room)
    elif room:
        picked = yield from pick_by_cosine_with_room(wanted, room, request.depth)
    else:
        picked = pick_by_cosine((scores_LK[kept], rows_LK[kept]), request.depth)
    if request.total:
        picked = page_of(picked, request.offset or 0, request.total)
    return Found(
        z_kD=z_kD,
        nearest_rows_k=nearest_rows_L[kept],
        nearest_cos_k=nearest_cos_k,
        picked=picked,
        has_query=request.include_query,
        sub_queries=generated.sub_queries,
    )


def by_similarity(request: RetrieveRequest, opened: OpenTask, generated: Generated, search: Search) -> Searching[Found]:
    """The entries nearest to the query, or maximal marginal relevance over them, under the query as one direction.

    Steering terms move the query.
    """
    z_1D = generated.z_LD if len(generated.z_LD) else generated.z_q_D[None]
    total = request.total or request.k * (request.n or DEFAULT_N)
    wanted = replace(search, z_LD=z_1D, num_hits=request.depth or total)
    room = room_of(request, opened)
    if request.method == "mmr":
        weight = opened.mmr_lambda if request.mmr_lambda is None else request.mmr_lambda
        picked = yield from marginally_relevant(opened.task, wanted, room, weight)
    else:
        picked = yield from nearest(opened.task, wanted, room)
    # The first pick is the nearest entry, also by maximal marginal relevance.
    nearest_rows_1, nearest_cos_1 = np.append(picked.rows_K, -1)[:1], np.append(picked.scores_K, -np.inf)[:1]
    page = page_of(picked, request.offset or 0, total)
    return Found(z_kD=z_1D, nearest_rows_k=nearest_rows_1, nearest_cos_k=nearest_cos_1, picked=page, has_query=True)


def room_of(request: RetrieveRequest, opened: OpenTask) -> Room | None:
    """The room that the request's cap and ``dedupe`` leave, or None if it has neither."""
    limits: list[tuple[Values, int]] = []
    if request.max_per is not None:
        assert opened.attributes is not None, "generation_request refuses a cap without attributes"
        limits.append((opened.attributes.values_of(request.max_per.attribute), request.max_per.n))
    if request.dedupe:
        limits.append((TextValues(opened.pool.text_codes_M), 1))
    return Room(*limits) if limits else None


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


def _add_farthest(kept: list[int], candidates: list[int], z_LD: Array, k: int) -> None:
    """Add the candidate farthest from ``kept`` by cosine (on a tie the first one), until ``kept`` holds k rows."""
    candidates = list(candidates)
    while candidates and len(kept) < k:
        similarity_kk = z_LD[candidates] @ z_LD[kept].T
        # With an empty ``kept`` all candidates are equal. The first one is taken: it is the most grounded.
        closeness_k = similarity_kk.max(axis=1, initial=-np.inf)
        kept.append(candidates.pop(int(np.argmin(closeness_k))))
