"""The queries of both tasks from the records of a query log, and their union with the made-up queries.

Records of a task whose texts are equal except for case and spaces are one query. Its relevant entries are those of all
its records.

For open-ended abstract retrieval (OAR) the relevant sets of a record are its ``set_ids``; without them, the sets that
hold all its ``item_ids``. They are the reference of a training or validation query. A test query has no reference, so
that nothing before the evaluation can read its relevant sets.

For weakly supervised compositional retrieval (WSCR) the reference is its ``item_ids``; without them, the items of its
``set_ids`` except staples. A WSCR query without a reference is left out, because nothing can be learnt from it or
measured on it. An OAR query may have its text alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from r4t_ray.catalogue.catalogue import Catalogue
from r4t_ray.catalogue.queries.log import LogLine, splits_of
from r4t_ray.catalogue.queries.query import Query
from r4t_ray.catalogue.queries.splits import normalise_title
from r4t_ray.catalogue.queries.words import composed
from r4t_ray.types import Split, Task

MadeQueries = Literal["train", "all", "none"]
MOST_RELEVANT = 64
"""Most relevant sets in the reference of an OAR query. The evaluation reads all."""


@dataclass(frozen=True, kw_only=True)
class Logged:
    """The queries of a log.

    Attributes:
        queries: Queries of both tasks, in the order of the log.
        relevant: OAR query id -> ids of its relevant sets. Queries without one are left out.
        splits: Normalised text -> split, of every record.
        num_without_reference: WSCR queries that were left out because they have no reference.
    """

    queries: tuple[Query, ...] = ()
    relevant: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, Split]
    num_without_reference: int = 0

    def judges(self, query: Query) -> bool:
        """Whether answers to a query of the log can be judged by relevant entries."""
        return query.task == "wscr" or query.query_id in self.relevant


NO_LOG = Logged(relevant={}, splits={})


def logged_queries(lines: Sequence[LogLine], catalogue: Catalogue, staples: Collection[str]) -> Logged:
    """The queries of a log. Their ids are TASK:log:QUERY_ID, or TASK:text:TEXT if no record of the query has an id.

    Args:
        lines: The records of the log.
        catalogue: The sets and items of the workspace. Ids outside it are left out, such as those of sets that
            ``catalogue.max_sets`` removed.
        staples: Ids of the items that no reference takes from a set.
    """
    items_of = {row.set_id: row.item_ids for row in catalogue.sets}
    known = {item.item_id for item in catalogue.items}
    holders, splits = _holders(lines, catalogue), splits_of(lines)
    queries: list[Query] = []
    relevant: dict[str, tuple[str, ...]] = {}
    num_without = 0
    for (task, key), records in _by_query(lines).items():
        query_id = next((f"{task}:log:{line.query_id}" for line in records if line.query_id), f"{task}:text:{key}")
        text, split = records[0].text, splits[normalise_title(key)]
        if task == "oar":
            found = tuple(sorted({name for line in records for name in _relevant_sets(line, items_of, holders)}))
            relevant |= {query_id: found} if found else {}
            reference = some_of(found, query_id) if split != "test" else ()
        else:
            reference = tuple(dict.fromkeys(i for line in records for i in _reference(line, items_of, known, staples)))
        if task == "oar" or reference:
            queries.append(Query(query_id=query_id, task=task, text=text, item_ids=reference, split=split))
        else:
            num_without += 1
    return Logged(queries=tuple(queries), relevant=relevant, splits=splits, num_without_reference=num_without)


def some_of(names: tuple[str, ...], query_id: str) -> tuple[str, ...]:
    """At most MOST_RELEVANT of the names, drawn by their hash, in order."""
    drawn = sorted(names, key=lambda name: sha256(f"{query_id} {name}".encode()).digest())[:MOST_RELEVANT]
    return tuple(sorted(drawn))


def with_log(made: Iterable[Query], logged: Logged, cores: Mapping[str, str], use: MadeQueries) -> list[Query]:
    """The made-up queries that stay beside a log, and the queries of the log.

    A made-up query leaves if the log has its text for the same task. It also leaves if its text or core is a text of
    the log on the other side, training or held out. So no held-out text is trained on.

    Args:
        made: The made-up queries.
        logged: The log.
        cores: Id of a theme's query -> core words of the theme.
        use: ``train``: a held-out split has no made-up query if the log has one there that can be judged.
            ``all``: every split may have made-up queries. ``none``: none stays.
    """
    if use != "none" and not logged.splits:
        return list(made)
    texts = {(query.task, normalise_title(query.text)) for query in logged.queries}
    judged = {(query.task, query.split) for query in logged.queries if logged.judges(query)}

    def stays(query: Query) -> bool:
        text = normalise_title(query.text)
        sides = [logged.splits.get(key) for key in (text, normalise_title(cores.get(query.query_id, query.text)))]
        is_train = query.split == "train"
        crosses = any(side is not None and (side == "train") != is_train for side in sides)
        is_replaced = use == "train" and not is_train and (query.task, query.split) in judged
        return use != "none" and (query.task, text) not in texts and not crosses and not is_replaced

    return [*(query for query in made if stays(query)), *logged.queries]


def _by_query(lines: Sequence[LogLine]) -> dict[tuple[Task, str], list[LogLine]]:
    """(task, text in lower case) -> its records."""
    found: defaultdict[tuple[Task, str], list[LogLine]] = defaultdict(list)
    for line in lines:
        for task in line.tasks:
            found[task, composed(line.text.lower())].append(line)
    return found


def _holders(lines: Sequence[LogLine], catalogue: Catalogue) -> Mapping[str, set[str]]:
    """Id of each item that a record names -> ids of the sets that hold it."""
    found: dict[str, set[str]] = {item_id: set() for line in lines for item_id in line.item_ids}
    for row in catalogue.sets:
        for item_id in row.item_ids:
            if item_id in found:
                found[item_id].add(row.set_id)
    return found


def _relevant_sets(
    line: LogLine, items_of: Mapping[str, tuple[str, ...]], holders: Mapping[str, set[str]]
) -> Iterable[str]:
    if line.set_ids or not line.item_ids:
        return (set_id for set_id in line.set_ids if set_id in items_of)
    return set.intersection(*(holders[item_id] for item_id in line.item_ids))


def _reference(
    line: LogLine, items_of: Mapping[str, tuple[str, ...]], known: Collection[str], staples: Collection[str]
) -> Iterable[str]:
    if line.item_ids:
        return (item_id for item_id in line.item_ids if item_id in known)
    in_sets = (item_id for set_id in line.set_ids for item_id in items_of.get(set_id, ()))
    return (item_id for item_id in in_sets if item_id not in staples)
