"""One query of either task."""

from __future__ import annotations

from dataclasses import dataclass

from r4t_ray.types import Split, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One query.

    ``item_ids`` is its reference: ids of items for wscr. For oar they are ids of sets, those that a log names as
    relevant to a training or validation query.
    """

    query_id: str
    task: Task
    text: str
    item_ids: tuple[str, ...]
    split: Split
