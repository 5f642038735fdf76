"""The queries of both tasks, made from a catalogue.

WSCR: a set's title, with the set's items as the reference; staples, items of more than ``staple_share`` of the training
sets, are left out. OAR: broad themes over the collections, with no reference.
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


@dataclass(frozen=True)
class Query:
    """One query; ``item_ids`` is the reference set, empty for oar."""

    query_id: str
    task: Task
    text: str
    item_ids: tuple[str, ...]
    split: Split


def set_split(row: ItemSet) -> Split:
    """The published split of a set, else the hash split of its normalised title, so that equal titles share one."""
    return row.published_split or split_of(normalise_title(row.title))


def staples(sets: Iterable[ItemSet], share: float) -> frozenset[str]:
    """Items that occur in more than ``share`` of the training sets; of other splits nothing is looked at."""
    training = [row for row in sets if set_split(row) == "train"]
    counts = Counter(item_id for row in training for item_id in row.item_ids)
    return frozenset(item_id for item_id, count in counts.items() if count > share * len(training))


def wscr_queries(catalogue: Catalogue, staple_share: float, min_reference: int) -> list[Query]:
    """A query for each set that keeps ``min_reference`` items or more without the staples."""
    left_out = staples(catalogue.sets, staple_share)
    queries = []
    for row in catalogue.sets:
        reference = tuple(item_id for item_id in row.item_ids if item_id not in left_out)
        if len(reference) >= min_reference:
            text = " ".join(row.title.split())
            queries.append(Query(f"wscr:{row.set_id}", "wscr", text, reference, set_split(row)))
    return queries


def oar_queries(catalogue: Catalogue) -> list[Query]:
    """A query for each theme; where a catalogue is too small for themes its titles stand in."""
    themes = make_themes((row.title for row in catalogue.sets), catalogue.categories)
    if themes:
        return [Query(f"oar:{theme.text}", "oar", theme.text, (), theme.split) for theme in themes]
    _logger.warning("no word is common enough among %d titles: titles stand in for themes", len(catalogue.sets))
    rows = {normalise_title(row.title): row for row in catalogue.sets}
    return [Query(f"oar:{title}", "oar", title, (), set_split(rows[title])) for title in sorted(rows)]
