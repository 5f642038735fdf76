"""The queries of both tasks, made from a catalogue.

Weakly supervised compositional retrieval (WSCR): a query is the title of a set. Its reference set is the items of the
set without the staples. A staple is an item of more than ``staple_share`` of the training sets.
Open-ended abstract retrieval (OAR): a query is a broad theme and has no reference set.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from r4t_ray.catalogue.catalogue import Catalogue, ItemSet
from r4t_ray.catalogue.queries.query import Query
from r4t_ray.catalogue.queries.splits import filled_splits, normalise_title, split_of
from r4t_ray.catalogue.queries.themes import Templates, Theme, distinct, make_themes, theme_key
from r4t_ray.types import Split

_logger = logging.getLogger(__name__)


def set_split(row: ItemSet) -> Split:
    """The published split of a set. If it has none, the hash of its normalised title determines the split."""
    return row.published_split or split_of(normalise_title(row.title))


def staples(sets: Iterable[ItemSet], share: float) -> frozenset[str]:
    """Ids of the items that occur in more than ``share`` of the training sets. Held-out sets are not counted."""
    training = [row for row in sets if set_split(row) == "train"]
    counts = Counter(item_id for row in training for item_id in row.item_ids)
    return frozenset(item_id for item_id, count in counts.items() if count > share * len(training))


def wscr_queries(catalogue: Catalogue, left_out: frozenset[str], min_reference: int) -> list[Query]:
    """One query per set with at least ``min_reference`` items that are not ``left_out``, which are the staples."""
    queries = []
    for row in catalogue.sets:
        reference = tuple(item_id for item_id in row.item_ids if item_id not in left_out)
        if len(reference) >= min_reference:
            text = single_spaced(row.title)
            queries.append(
                Query(query_id=f"wscr:{row.set_id}", task="wscr", text=text, item_ids=reference, split=set_split(row))
            )
    return queries


def single_spaced(title: str) -> str:
    """A title as it was written, with single spaces."""
    return " ".join(title.split())


def oar_themes(catalogue: Catalogue, templates: Templates) -> list[Theme]:
    """The themes of a catalogue, held-out ones included if it has FEWEST_KEYS cores or more.

    If it is too small for themes, each title is a theme and its words are the core.
    """
    themes = make_themes((row.title for row in catalogue.sets), catalogue.categories, templates=templates)
    if themes:
        splits = filled_splits(theme.core for theme in themes)
        return [theme._replace(split=splits[theme.core]) for theme in themes]
    _logger.warning(
        "no word is frequent enough in %d titles to make a theme; the titles are the queries", len(catalogue.sets)
    )
    rows = {normalise_title(row.title): row for row in catalogue.sets}
    return distinct(Theme(single_spaced(row.title), core, set_split(row)) for core, row in rows.items())


def oar_queries(themes: Iterable[Theme]) -> list[Query]:
    """One query per theme."""
    return [
        Query(query_id=f"oar:{theme_key(theme)}", task="oar", text=theme.text, item_ids=(), split=theme.split)
        for theme in themes
    ]
