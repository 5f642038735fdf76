"""How often items recur: the share of a held-out set's items that some training set holds.

Ingredients recur, so similar training sets name the items of a new one. Products and outfits hardly recur.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from r4t_ray.catalogue.queries.query import Query

RECURRENT = 0.5
"""Items count as recurring from this recurrence on: training sets then hold most items of a new set."""


def recurrence(queries: Iterable[Query]) -> float:
    """Share of the items in validation references that a training reference holds, 0 to 1.

    If there is no validation reference, each training reference is compared with the other ones. Without any reference
    it is 0.

    Args:
        queries: The queries of WSCR (weakly supervised compositional retrieval) of all splits. Test queries are not
            used.
    """
    references: dict[str, list[tuple[str, ...]]] = {"train": [], "val": []}
    for query in queries:
        references.setdefault(query.split, []).append(query.item_ids)
    counts = Counter(item_id for reference in references["train"] for item_id in set(reference))
    held_out, least = (references["val"], 1) if references["val"] else (references["train"], 2)
    recurs = [counts[item_id] >= least for reference in held_out for item_id in set(reference)]
    return sum(recurs) / max(len(recurs), 1)
