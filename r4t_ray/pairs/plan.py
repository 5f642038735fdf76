"""Which queries give pairs, and from where: a policy of ``pairs.policy``, or their own references."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries, recombined_queries
from r4t_ray.pairs.files import PlannedQuery, plan_files
from r4t_ray.pairs.recompose import recomposed_queries
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.types import Task

MOST_WEIGHT = 50
"""Most weight of a query with a reference, in multiples of ``pairs.num_samples``, so that a few do not outweigh all."""

_logger = logging.getLogger(__name__)


def planned_files(
    task: Task, config: PairsConfig, workspace: Workspace, folder: Path, seed: int
) -> list[dict[str, Any]]:
    """The files of a task: those of its policy, and those from references.

    The policy gives no pairs if ``reference_share`` is 1, and none for OAR queries with a reference.
    """
    share = config.reference_share[task]
    queries = [query for query in load_queries(workspace, task) if query.split != "test"]
    has_references = share > 0 and any(query.item_ids for query in queries)
    planned = [] if share == 1 and has_references else planned_queries(task, config, workspace, folder, seed)
    if task == "oar" and has_references:
        planned = [each for each in planned if not each.query.item_ids]
    num_fan_outs = sum(each.num_samples for each in planned if each.query.split == "train")
    references = planned_references(queries, num_fan_outs, share, config.num_samples)
    if references:
        weight = max(each.num_samples for each in references)
        _logger.info("%s: %d queries give pairs from references, weight %d", task, len(references), weight)
    return [
        *plan_files(task, planned, config.queries_per_file, source=config.policy[task]),
        *plan_files(task, references, config.queries_per_file, source="reference", first_sample=config.num_samples),
    ]


def planned_queries(
    task: Task, config: PairsConfig, workspace: Workspace, folder: Path, seed: int
) -> list[PlannedQuery]:
    """The queries of a task that fan-outs are sampled for: train, val, recomposed and recombined queries."""
    queries = [query for query in load_queries(workspace, task) if query.split != "test"]
    # Stage 1 recombines queries with seed and seed + 1; seed + 2 gives different queries.
    new = recombined_queries(workspace, task, config.num_recombined[task], seed + 2)
    if config.recompose and task == "wscr":
        queries = [*queries, *recomposed_queries(config.recompose, config.actors, workspace, folder, seed)]
    num_fan_outs = config.num_samples * len(queries) + len(new)
    _logger.info("%s: %d fan-outs of %d queries and %d recombined ones", task, num_fan_outs, len(queries), len(new))
    return [*(PlannedQuery(query, config.num_samples) for query in queries), *(PlannedQuery(query, 1) for query in new)]


def planned_references(
    queries: Sequence[Query], num_fan_outs: int, share: float, num_samples: int
) -> list[PlannedQuery]:
    """The queries with pairs from their reference; ``num_samples`` is the weight of these pairs.

    Args:
        queries: Training and validation queries of a task.
        num_fan_outs: Fan-outs that the policy gives for training queries.
        share: ``pairs.reference_share`` of the task: 0 gives no pair. With 1 there are no fan-outs; the weight is 1.
        num_samples: ``pairs.num_samples``, the weight of validation queries of OAR.
    """
    with_items = [query for query in queries if query.item_ids and share]
    num_train = max(1, sum(query.split == "train" for query in with_items))
    weight = 1 if share == 1 else max(1, round(share / (1 - share) * num_fan_outs / num_train))
    weight = min(weight, MOST_WEIGHT * num_samples)
    return [
        PlannedQuery(query, num_samples if query.task == "oar" and query.split == "val" else weight)
        for query in with_items
    ]
