"""From generated directions to an answer, in this process and in a server: ``finding`` searches, this module writes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.measures import alignment, groundedness, vendi_score
from r4t_ray.retrieval.finding import Found, find
from r4t_ray.retrieval.generation import Generated
from r4t_ray.retrieval.open_task import Labels, OpenTask
from r4t_ray.retrieval.picking import Picked, Searching
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.retrieval.response import Direction, FanoutDirection, Item, MergedItem, RetrieveResponse, SetMetrics
from r4t_ray.types import Array, Fetch, Rows

if TYPE_CHECKING:
    from r4t_ray.retrieval.filtering.attributes import PoolAttributes

SAME_COSINE = 0.999
"""Cosine from which a direction counts as the embedding of an item; rounding to float16 leaves more."""


def answer(request: RetrieveRequest, opened: OpenTask, generated: Generated) -> Searching[RetrieveResponse]:
    """Search for the items of a request, select k directions, and write the response.

    It yields its lookups; see ``picking``. ``picking.run`` answers them by a function.

    Args:
        request: The validated request.
        opened: The task that answers.
        generated: The query's embedding and the generated directions.
    """
    found = yield from find(request, opened, generated)
    tops = [rows[0] for rows, _ in found.picked.lists if len(rows)]
    if not request.has_fan_out:
        tops = found.picked.rows_K[: request.k].tolist()
    top_emb_KD = (yield opened.task, Fetch(rows=np.array(tops))) if tops else generated.z_LD[:0]
    return compose(request, opened, found, set_metrics(found, generated.z_q_D, top_emb_KD))


def set_metrics(found: Found, z_q_D: Array, top_emb_KD: Array) -> SetMetrics:
    """The measures of an answer, as the tables have them.

    Args:
        found: The directions.
        z_q_D: Unit embedding of the query.
        top_emb_KD: Embeddings of the first item of each direction, or of the first k items of a single direction.
    """
    is_near_k = np.isfinite(found.nearest_cos_k)
    return SetMetrics(
        vendi=vendi_score(top_emb_KD) / max(1, len(top_emb_KD), len(found.z_kD)) if len(top_emb_KD) else 0.0,
        groundedness=float(groundedness(np.where(is_near_k, found.nearest_cos_k, np.nan)[None])[0]),
        alignment=float(alignment(found.z_kD[None], z_q_D[None])[0]),
    )


def fan_out(request: RetrieveRequest, opened: OpenTask, generated: Generated) -> Searching[list[FanoutDirection]]:
    """The directions of a request without their items; the query alone for the methods none and mmr."""
    found = yield from find(request, opened, generated)
    names, grounded = direction_names(request, opened, found), grounded_directions(found.nearest_cos_k)
    return [
        FanoutDirection(index=index, label=names[index], groundedness=grounded[index], vector=z_D.tolist())
        for index, z_D in enumerate(found.z_kD)
    ]


def compose(request: RetrieveRequest, opened: OpenTask, found: Found, metrics: SetMetrics) -> RetrieveResponse:
    """Write the response, without what is known only at its end: its id, its timings and the shards that answered."""
    picked = found.picked
    names, attributes = direction_names(request, opened, found), opened.attributes if request.with_payload else None
    weights, grounded = picked.weights, grounded_directions(found.nearest_cos_k)
    return RetrieveResponse(
        task=opened.task,
        query=request.query,
        seed=request.seed,
        directions=[
            Direction(
                index=index,
                label=names[index],
                weight=weights[index],
                groundedness=grounded[index],
                items=items_of(opened, rows, scores, attributes),
            )
            for index, (rows, scores) in enumerate(picked.lists)
        ],
        items=merged_items(opened, picked, attributes, request.offset or 0),
        set_metrics=metrics,
        model=opened.model,
        generation=opened.generation,
        sequence=opened.sequence,
    )


def merged_items(opened: OpenTask, picked: Picked, attributes: PoolAttributes | None, offset: int) -> list[MergedItem]:
    """The items of an answer with their ranks, which count ``offset`` items before, and the directions that list them.

    Args:
        opened: The task that answers.
        picked: The picks.
        attributes: What each item shows as its payload, or None.
        offset: Items before the first.
    """
    listed_by: defaultdict[int, list[int]] = defaultdict(list)
    for direction, (rows, _) in enumerate(picked.lists):
        for row in rows.tolist():
            listed_by[row].append(direction)
    pool = opened.pool
    picks = zip(picked.rows_K.tolist(), picked.scores_K.tolist(), picked.owner_K.tolist(), strict=True)
    return [
        MergedItem(
            id=pool.ids[row],
            text=pool.texts[row],
            score=score,
            payload=attributes and attributes.payload(row),
            direction=owner if owner in listed_by[row] else listed_by[row][0],
            directions=listed_by[row],
            rank=rank,
        )
        for rank, (row, score, owner) in enumerate(picks, 1 + offset)
    ]


def grounded_directions(nearest_cos_k: Array) -> list[float | None]:
    """The groundedness of each direction, or None if no entry may be found."""
    is_near_k = np.isfinite(nearest_cos_k)
    grounded_k = groundedness(np.where(is_near_k, nearest_cos_k, np.nan)[:, None])
    return [value if is_near else None for value, is_near in zip(grounded_k.tolist(), is_near_k.tolist(), strict=True)]


def direction_names(request: RetrieveRequest, opened: OpenTask, found: Found) -> list[str | None]:
    """The nearest label of each direction, or the text of its nearest entry if it is that entry's embedding.

    None for all generated directions if the task has no labels. The query and sub-queries are called by their texts.
    """
    names: list[str | None] = [None] * len(found.z_kD)
    if found.sub_queries:
        names[: len(found.sub_queries)] = found.sub_queries
    elif opened.labels:
        # A direction of wscr is called by a label, not by an item.
        is_entry_k = (found.nearest_cos_k >= SAME_COSINE) & (opened.decoder is None)
        for index in np.flatnonzero(is_entry_k).tolist():
            names[index] = opened.pool.texts[found.nearest_rows_k[index]]
        others = np.flatnonzero(~is_entry_k)
        for index, label in zip(others.tolist(), nearest_labels(opened.labels, found.z_kD[others]), strict=True):
            names[index] = label
    if found.has_query:
        names[-1] = request.query
    return names


def nearest_labels(labels: Labels, z_kD: Array) -> list[str]:
    """The sub-query nearest to each direction."""
    return [labels.texts[row] for row in (z_kD @ labels.emb_ND.T).argmax(axis=1).tolist()]


def items_of(opened: OpenTask, rows_K: Rows, scores_K: Array, attributes: PoolAttributes | None) -> list[Item]:
    """Items of the pool with their scores, and their payload if ``attributes`` are given, in the order of the rows."""
    pool = opened.pool
    return [
        Item(id=pool.ids[row], text=pool.texts[row], score=score, payload=attributes and attributes.payload(row))
        for row, score in zip(rows_K.tolist(), scores_K.tolist(), strict=True)
    ]
