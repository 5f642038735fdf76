"""Which items are staples: so frequent that they say nothing about a set, such as salt. References leave them out.

A share of the training sets alone would take every item of a small catalogue: with 40 items, each is in many sets. So
two rules come from counts. A staple is in more than twice as many training sets as the average item. And where leaving
the staples out would take the reference of most sets, nothing is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from r4t_ray.catalogue.catalogue import ItemSet
from r4t_ray.catalogue.queries.made import set_split, staples

TIMES_THE_AVERAGE = 2
LEAST_SETS_KEPT = 0.5
"""Share of the sets with a reference that must keep one without the staples."""
NOTHING: frozenset[str] = frozenset()


class Staples(NamedTuple):
    """The ids of the staples, and a line for a person where counts changed what ``staple_share`` says."""

    item_ids: frozenset[str]
    note: str | None


def find_staples(sets: Sequence[ItemSet], share: float, min_reference: int) -> Staples:
    """The staples of a catalogue.

    Args:
        sets: All sets. Only training sets are counted.
        share: ``catalogue.staple_share``.
        min_reference: ``catalogue.min_reference``.
    """
    training = [row.item_ids for row in sets if set_split(row) == "train"]
    used = {item_id for item_ids in training for item_id in item_ids}
    if not used:
        return Staples(NOTHING, None)
    average = sum(map(len, training)) / len(used)
    least = TIMES_THE_AVERAGE * average / len(training)
    by_share, found = staples(sets, share), staples(sets, max(share, least))
    note = None
    if found != by_share:
        enough = min(1.0, math.ceil(100 * least) / 100)
        note = (
            f"staples: {len(by_share)} of {len(used)} items are in more than catalogue.staple_share = {share:g} of the "
            f"{len(training)} training sets, but the average item is in {average:.1f} of them; items in more than "
            f"twice as many ({TIMES_THE_AVERAGE * average:.1f}) are left out of references: {len(found)}; set "
            f"catalogue.staple_share to {enough:g} or more to choose the share yourself"
        )
    able, kept = (num_with_reference(sets, left_out, min_reference) for left_out in (NOTHING, found))
    if not able:
        largest = max(len(row.item_ids) for row in sets)
        note = (
            f"no set has catalogue.min_reference = {min_reference} items (the largest has {largest}), so there is no "
            "wscr query; lower catalogue.min_reference"
        )
    elif kept < LEAST_SETS_KEPT * able:
        note = (
            f"staples: without the {len(found)} items in more than {max(share, least):.2g} of the training sets only "
            f"{kept} of {able} sets would have catalogue.min_reference = {min_reference} items, so no item is left out "
            f"of references; raise catalogue.staple_share ({share:g}) or lower catalogue.min_reference"
        )
        found = NOTHING
    return Staples(found, note)


def num_with_reference(sets: Sequence[ItemSet], left_out: frozenset[str], min_reference: int) -> int:
    """Number of sets with at least ``min_reference`` items that are not ``left_out``."""
    return sum(len(set(row.item_ids) - left_out) >= min_reference for row in sets)
