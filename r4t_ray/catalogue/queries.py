"""The queries of both tasks, made from a catalogue.

Weakly supervised compositional retrieval (WSCR): the query is the title of a set, and the items of the set are the
reference. Staples, the items of more than ``staple_share`` of the training sets, are left out of the reference.
Open-ended abstract retrieval (OAR): the query is a broad theme of the collections and has no reference.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from r4t_ray.catalogue.catalogue import Catalogue, ItemSet
from r4t_ray.catalogue.splits import normalise_title, split_of
from r4t_ray.catalogue.themes import make_themes
from r4t_ray.types import Split, Task

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query; ``item_ids`` is the reference set, empty for oar."""

    query_id: str
    task: Task
    text: str
    item_ids: tuple[str, ...]
    split: Split


def set_split(row: ItemSet) -> Split:
    """The published split of a set; without one, the hash split of its normalised title, so equal titles share it."""
    return row.published_split or split_of(normalise_title(row.title))


def staples(sets: Iterable[ItemSet], share: float) -> frozenset[str]:
    """Items that occur in more than ``share`` of the training sets; the other splits are not looked at."""
    training = [row for row in sets if set_split(row) == "train"]
    counts = Counter(item_id for row in training for item_id in row.item_ids)
    return frozenset(item_id for item_id, count in counts.items() if count > share * len(training))


def wscr_queries(catalogue: Catalogue, staple_share: float, min_reference: int) -> list[Query]:
    """One query per set that has at least ``min_reference`` items without the staples."""
    left_out = staples(catalogue.sets, staple_share)
    queries = []
    for row in catalogue.sets:
        reference = tuple(item_id for item_id in row.item_ids if item_id not in left_out)
        if len(reference) >= min_reference:
            text = " ".join(row.title.split())
            queries.append(
                Query(query_id=f"wscr:{row.set_id}", task="wscr", text=text, item_ids=reference, split=set_split(row))
            )
    return queries


def oar_queries(catalogue: Catalogue) -> list[Query]:
    """One query per theme; in a catalogue too small for themes, one per title."""
    themes = make_themes((row.title for row in catalogue.sets), catalogue.categories)
    if themes:
        return [
            Query(query_id=f"oar:{theme.text}", task="oar", text=theme.text, item_ids=(), split=theme.split)
            for theme in themes
        ]
    _logger.warning(
        "no word is common enough among %d titles for themes: the titles are the queries", len(catalogue.sets)
    )
    rows = {normalise_title(row.title): row for row in catalogue.sets}
    return [
        Query(query_id=f"oar:{title}", task="oar", text=title, item_ids=(), split=set_split(rows[title]))
        for title in sorted(rows)
    ]
