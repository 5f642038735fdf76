"""What a retriever's answers were when it was trained, what they are now, and which entries they reach.

- Then: answers to training queries from the pool that it was trained for, and how far validation queries lie from the
  nearest training query. They are held out as test queries are; training queries have near relatives among themselves.
- Now: answers to the queries of now from the pool with the new entries and without those that are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.answers import Answer, Index, batches
from r4t_ray.evaluation.bench import Retriever
from r4t_ray.evaluation.drift_verdict import (
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
from r4t_ray.evaluation.methods.r4t_diffusion import R4TDiffusion
from r4t_ray.evaluation.scores import geometric_scores, nearest_cosines
from r4t_ray.evaluation.settings import DriftConfig, EvaluationConfig
from r4t_ray.measures import unit_distance
from r4t_ray.progress import track
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Array, Task

ANSWER_MEASURES = ("groundedness", "vendi", "alignment")


@dataclass(frozen=True)
class Situation:
    """One task's retriever, and its pool and queries then and now; embeddings have unit rows.

    Attributes:
        task: The task.
        retriever: The trained retriever.
        then: The pool that it was trained for.
        now: The same rows, but for those that are gone, and after them the new entries.
        gone_rows: Rows of ``then`` that are gone.
        train_emb_BD: All training queries.
        sample_emb_BD: Those of them that are asked.
        validation_emb_BD: Validation queries; may be none.
        query_emb_BD: The queries of now.
        queries: What these are: "new" or "held-out".
    """

    task: Task
    retriever: Retriever
    then: Index
    now: Index
    gone_rows: frozenset[int]
    train_emb_BD: Array
    sample_emb_BD: Array
    validation_emb_BD: Array
    query_emb_BD: Array
    queries: str


@dataclass(frozen=True)
class Distance:
    """||z - c|| over all directions z, c their nearest items."""

    median: float
    percentile_95: float


@dataclass(frozen=True)
class Drift:
    """What changed for one task.

    Attributes:
        task: The task.
        queries: What the queries of now are: "new" or "held-out".
        changes: The measures then and now.
        item_distance_then: Of the answers to training queries.
        item_distance_now: Of the answers to the queries of now.
        reach: Of the new entries beside the old ones; None where there are none of either.
        loss: Of those that are gone; None where there are none.
        reasons: Why pairs should be synthesized again, one a line; none where the retriever still fits.
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
        """Whether there is a reason."""
        return bool(self.reasons)


def compare(config: DriftConfig, evaluation: EvaluationConfig, situation: Situation, seed: int) -> Drift:
    """Ask, measure then and now, count what is reached, and judge.

    Raises:
        RequestError: The retriever emits fewer rows than the k directions of ``evaluation``.
    """
    then, now = (retriever_on(index, situation.retriever, evaluation) for index in (situation.then, situation.now))
    sample_BLD = generate(then, situation.sample_emb_BD, seed, f"{situation.task} training queries")
    query_BLD = generate(now, situation.query_emb_BD, seed, f"{situation.task} {situation.queries} queries")
    answers_then, answers_now = then.answers(sample_BLD), now.answers(query_BLD)

    values_then = measure_answers(answers_then, situation.sample_emb_BD, situation.then, evaluation.k)
    values_now = measure_answers(answers_now, situation.query_emb_BD, situation.now, evaluation.k)
    if len(situation.validation_emb_BD):
        values_then[QUERY_DISTANCE] = query_distances(situation.validation_emb_BD, situation.train_emb_BD)
        values_now[QUERY_DISTANCE] = query_distances(situation.query_emb_BD, situation.train_emb_BD)
    changes = find_changes(values_then, values_now, evaluation.num_bootstrap, seed)

    reach, num_old = None, len(situation.then.ids) - len(situation.gone_rows)
    num_new = len(situation.now.ids) - num_old
    if num_new and num_old:
        asked = [*now.answers(sample_BLD), *answers_now]
        reached = set().union(*(answer.retrieved for answer in asked))
        reach = find_reach(reached, num_old, num_new, len(asked), evaluation.num_bootstrap, seed)
    return Drift(
        task=situation.task,
        queries=situation.queries,
        changes=changes,
        item_distance_then=item_distance(answers_then, situation.then),
        item_distance_now=item_distance(answers_now, situation.now),
        reach=reach,
        loss=find_loss([answer.retrieved for answer in answers_then], situation.gone_rows),
        reasons=find_reasons(changes, reach, config),
    )


def retriever_on(index: Index, retriever: Retriever, evaluation: EvaluationConfig) -> R4TDiffusion:
    """The row of the tables that asks the retriever for k directions and n items of each from this pool."""
    solver, num_steps, guidance = evaluation.solver, evaluation.num_steps, evaluation.guidance
    return R4TDiffusion(index, evaluation.k, evaluation.n, retriever, solver, num_steps, guidance)


def generate(method: R4TDiffusion, query_emb_BD: Array, seed: int, what: str) -> Array:
    """The rows z_BLD of every query, generated in batches."""
    blocks = track(list(batches(len(query_emb_BD), QUERIES_A_CALL)), what)
    return np.concatenate([method.generate((), query_emb_BD[block], seed + block.start) for block in blocks])


def measure_answers(
    answers: Sequence[Answer], query_emb_BD: Array, index: Index, k: int
) -> dict[str, NDArray[np.float64]]:
    """ANSWER_MEASURES of every answer, as the report's tables have them."""
    scored = [
        geometric_scores(answer, z_q_D, index, k, OARConfig())
        for answer, z_q_D in zip(answers, query_emb_BD, strict=True)
    ]
    return {name: np.array([row[name] for row in scored], dtype=np.float64) for name in ANSWER_MEASURES}


def query_distances(query_emb_BD: Array, train_emb_BD: Array) -> NDArray[np.float64]:
    """Euclidean distance of each query to its nearest training query."""
    return unit_distance(nearest_cosines(query_emb_BD, train_emb_BD))


def item_distance(answers: Sequence[Answer], index: Index) -> Distance:
    """Distance of the answers' directions to their nearest items: median and 95th percentile."""
    z_BD = np.concatenate([answer.directions_kD for answer in answers])
    item_BD = index.emb_MD[np.concatenate([answer.top_rows for answer in answers])]
    median, high = np.percentile(unit_distance(np.einsum("bd,bd->b", z_BD, item_BD)), [50.0, 95.0])
    return Distance(float(median), float(high))
