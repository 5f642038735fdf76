"""Tells a person in plain lines which queries ingest made, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from r4t_ray.catalogue.queries.logged import Logged
from r4t_ray.catalogue.queries.query import Query
from r4t_ray.types import SPLITS, TASKS, Split, Task

MORE_QUERIES: dict[Task, str] = {
    "oar": "add sets (or items, if there are no sets)",
    "wscr": "add sets, or lower catalogue.min_reference",
}
NEEDED_FOR: dict[Split, str] = {
    "train": "train-folm cannot train the task",
    "val": "no setting can be tuned on validation queries",
    "test": "evaluate has nothing to measure",
}


def counts(queries: Sequence[Query], logged: Logged, tasks: Sequence[Task] = TASKS) -> Iterator[str]:
    """One line for each of the tasks: its number of queries in each split, made up and from the log."""
    from_log = {query.query_id for query in logged.queries}
    for task in tasks:
        parts = []
        for split in SPLITS:
            ids = [query.query_id for query in queries if (query.task, query.split) == (task, split)]
            num_logged = sum(query_id in from_log for query_id in ids)
            origin = f" ({len(ids) - num_logged} made up, {num_logged} from the log)" if logged.splits else ""
            parts.append(f"{len(ids)} {split}{origin}")
        yield f"{task} queries: {', '.join(parts)}"


def warnings(queries: Sequence[Query], logged: Logged, tasks: Sequence[Task] = TASKS) -> Iterator[str]:
    """What a person should know: empty splits, and queries of the log that are not used or not judged."""
    for task in tasks:
        filled = {query.split for query in queries if query.task == task}
        if not filled:
            yield f"no {task} query: {MORE_QUERIES[task]}, or leave {task} out of folm.tasks"
        for split in SPLITS if filled else ():
            if split not in filled:
                yield (
                    f"no {task} {split} query, so {NEEDED_FOR[split]}: {MORE_QUERIES[task]}, or give a log "
                    f"(catalogue.queries) with split: {split}"
                )
    if logged.num_without_reference:
        yield (
            f"queries of the log without a relevant item: {logged.num_without_reference}; they are no wscr queries: "
            "give them item_ids or set_ids, or task: oar"
        )
    unjudged = sum(query.split != "train" and not logged.judges(query) for query in logged.queries)
    if unjudged:
        yield (
            f"held-out oar queries of the log without a relevant set: {unjudged}; the measures of themes leave them "
            "out: give them set_ids"
        )
