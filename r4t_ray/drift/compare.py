"""A retriever's answers then (when it was trained) and now, and the entries that they reach.

- Then: answers to training queries from the old pool, for which the retriever was trained.
- Now: answers to the new or held-out queries from the current pool, with the new entries and without the removed ones.

The distance of a query to its nearest training query is measured "then" on validation queries. They are held out as
the queries of "now" are. Training queries would be too close, because many of them resemble each other.

Theme precision and recall exist for queries of the catalogue alone, because ingest listed the relevant sets of those.
A new query counts if the catalogue has the same text as an OAR query (open-ended abstract retrieval); the others are
left out. The answers of "then" and "now" are each compared among themselves (swap, identification, jaccard,
catalogue_share). Both sides take equally many answers, because these measures depend on the number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.drift.settings import DriftConfig
from r4t_ray.drift.verdict import (
    ANSWER_MEASURES,
    QUERY_DISTANCE,
    Change,
    Loss,
    Reach,
    find_changes,
    find_loss,
    find_reach,
    find_reasons,
)
from r4t_ray.evaluation.evaluate import QUERIES_A_CALL
from r4t_ray.evaluation.method_answer import Answer, batches
from r4t_ray.evaluation.methods.r4t_diffusion import answers_of_rows, generate_rows
from r4t_ray.evaluation.scores import columns, compare_answers, geometric_scores, nearest_cosines, theme_scores
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.measures import catalogue_share, unit_distance
from r4t_ray.progress import track
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Array, Task

if TYPE_CHECKING:
    from r4t_ray.diffusion import DiffusionRetriever
    from r4t_ray.index import ShardedIndex


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One task's retriever, and its pool and queries then and now. Embeddings are unit rows, shape (B, D).

    Attributes:
        task: The task.
        retriever: The trained retriever.
        then: The old pool, for which it was trained.
        now: The current pool: the rows of ``then`` without the removed ones, followed by the new entries.
        removed_rows: Rows of ``then`` that were removed.
        train_emb_BD: All training queries.
        sample_emb_BD: The training queries that the retriever answers.
        validation_emb_BD: Validation queries; may be empty.
        query_emb_BD: The current queries.
        queries: Kind of the current queries, "new" or "held-out".
        sample_relevant: Rows of ``then`` that are relevant for each query of ``sample_emb_BD``; empty sets if unknown.
        query_relevant: Rows of ``now`` that are relevant for each query of ``query_emb_BD``; empty sets if unknown.
    """

    task: Task
    retriever: DiffusionRetriever
    then: ShardedIndex
    now: ShardedIndex
    removed_rows: frozenset[int]
    train_emb_BD: Array
    sample_emb_BD: Array
    validation_emb_BD: Array
    query_emb_BD: Array
    queries: str
    sample_relevant: Sequence[frozenset[int]]
    query_relevant: Sequence[frozenset[int]]


@dataclass(frozen=True, kw_only=True)
class Distance:
    """Euclidean distance ||z - c|| of all directions z to their nearest items c: median and 95th percentile."""

    median: float
    percentile_95: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The changes of one task.

    Attributes:
        task: The task.
        queries: Kind of the current queries, "new" or "held-out".
        changes: The measures then and now.
        item_distance_then: Distance of directions to their items, in answers to training queries.
        item_distance_now: The same distance, in answers to the current queries.
        reach: Shares of the new and the old entries in the answers; None if there are no new or no old entries.
        loss: Number and share of the removed entries; None if no entry was removed.
        reasons: Reasons to synthesize pairs again, one sentence each; empty if the retriever still fits.
    """

    task: Task
    queries: str
    changes: list[Change]
    item_distance_then: Distance
    item_distance_now: Distance
    reach: Reach | None
    loss: Loss | None
    reasons: list[str]

    @property
    def resynthesize(self) -> bool:
        """Whether there is a reason to synthesize pairs again."""
        return bool(self.reasons)


def compare(config: DriftConfig, evaluation: EvaluationConfig, situation: Situation, seed: int) -> Drift:
    """Answer the queries, measure then and now, count the reached entries, and apply the rule.

    Raises:
        RequestError: The retriever emits fewer rows than the k directions of ``evaluation``.
    """
    sample_BLD = generate(situation, situation.sample_emb_BD, evaluation, seed, "training")
    query_BLD = generate(situation, situation.query_emb_BD, evaluation, seed, situation.queries)
    answers_then = answers_from(situation.then, sample_BLD, situation, evaluation)
    answers_now = answers_from(situation.now, query_BLD, situation, evaluation)

    num = min(len(answers_then), len(answers_now))
    values_then = {
        **measure_answers(answers_then, situation.sample_emb_BD, situation.then, evaluation.k),
        **theme_values(answers_then, situation.sample_relevant, evaluation),
        **comparison_values(answers_then, situation.sample_emb_BD, situation.then, num),
    }
    values_now = {
        **measure_answers(answers_now, situation.query_emb_BD, situation.now, evaluation.k),
        **theme_values(answers_now, situation.query_relevant, evaluation),
        **comparison_values(answers_now, situation.query_emb_BD, situation.now, num),
    }
    if len(situation.validation_emb_BD):
        values_then[QUERY_DISTANCE] = query_distances(situation.validation_emb_BD, situation.train_emb_BD)
        values_now[QUERY_DISTANCE] = query_distances(situation.query_emb_BD, situation.train_emb_BD)
    changes = find_changes(values_then, values_now, evaluation.num_bootstrap, seed)

    reach, num_old = None, len(situation.then.ids) - len(situation.removed_rows)
    num_new = len(situation.now.ids) - num_old
    if num_new and num_old:
        asked = [*answers_from(situation.now, sample_BLD, situation, evaluation), *answers_now]
        reach = find_reach(asked, num_old=num_old, num_new=num_new, num_bootstrap=evaluation.num_bootstrap, seed=seed)
    return Drift(
        task=situation.task,
        queries=situation.queries,
        changes=changes,
        item_distance_then=item_distance(answers_then, situation.then),
        item_distance_now=item_distance(answers_now, situation.now),
        reach=reach,
        loss=find_loss(answers_then, situation.removed_rows),
        reasons=find_reasons(changes, reach, config),
    )


def generate(situation: Situation, query_emb_BD: Array, evaluation: EvaluationConfig, seed: int, kind: str) -> Array:
    """The rows of every query, shape (B, L, D), in the batches of the evaluate stage. ``kind`` labels the progress."""
    generate_block = partial(
        generate_rows,
        situation.retriever,
        solver=evaluation.solver,
        num_steps=evaluation.num_steps,
        guidance=evaluation.guidance,
        num_rows=evaluation.k,
    )
    blocks = track(list(batches(len(query_emb_BD), QUERIES_A_CALL)), f"{situation.task} {kind} queries")
    return np.concatenate([generate_block(query_emb_BD[block], seed + block.start) for block in blocks])


def answers_from(index: ShardedIndex, z_BLD: Array, situation: Situation, evaluation: EvaluationConfig) -> list[Answer]:
    """The answers of generated rows from one pool, computed as in the evaluate stage."""
    solver = evaluation.solver or situation.retriever.sampler.solver
    return answers_of_rows(z_BLD, index, evaluation.k, evaluation.n, solver=solver)


def measure_answers(
    answers: Sequence[Answer], query_emb_BD: Array, index: ShardedIndex, k: int
) -> dict[str, NDArray[np.float64]]:
    """Measure -> one value per answer, for ANSWER_MEASURES, as in the tables of report.md."""
    scored = [
        geometric_scores(answer, z_q_D, index, k, OARConfig())
        for answer, z_q_D in zip(answers, query_emb_BD, strict=True)
    ]
    return {name: np.array([row[name] for row in scored], dtype=np.float64) for name in ANSWER_MEASURES}


def theme_values(
    answers: Sequence[Answer], relevant: Sequence[frozenset[int]], evaluation: EvaluationConfig
) -> dict[str, NDArray[np.float64]]:
    """Measure -> one value per answer, for the theme measures of report.md; NaN for a query without relevant sets."""
    k, budget = evaluation.k, evaluation.k * evaluation.n
    return columns([theme_scores(answer, rows, k, budget) for answer, rows in zip(answers, relevant, strict=True)])


def comparison_values(
    answers: Sequence[Answer], query_emb_BD: Array, index: ShardedIndex, num: int
) -> dict[str, NDArray[np.float64]]:
    """Measure -> values of ``num`` answers, evenly spaced in the list, that are compared with each other.

    ``catalogue_share`` is one number of all ``num`` answers, so its interval has width 0.
    """
    picks = np.linspace(0, len(answers) - 1, num).round().astype(np.int64)
    chosen = [answers[pick] for pick in picks]
    share = catalogue_share([answer.retrieved for answer in chosen], len(index.ids))
    return compare_answers(chosen, query_emb_BD[picks], index.emb_MD) | {"catalogue_share": np.array([share])}


def query_distances(query_emb_BD: Array, train_emb_BD: Array) -> NDArray[np.float64]:
    """Euclidean distance of each query to its nearest training query, shape (B,)."""
    return unit_distance(nearest_cosines(query_emb_BD, train_emb_BD))


def item_distance(answers: Sequence[Answer], index: ShardedIndex) -> Distance:
    """Distance of the answers' directions to their nearest items: median and 95th percentile."""
    z_BD = np.concatenate([answer.directions_kD for answer in answers])
    item_BD = index.emb_MD[np.concatenate([answer.top_rows for answer in answers])]
    median, high = np.percentile(unit_distance(np.einsum("bd,bd->b", z_BD, item_BD)), [50.0, 95.0])
    return Distance(median=float(median), percentile_95=float(high))
