"""Measured results, the rows of metrics.json, and the methods that lose to a cheaper one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import main_measure
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.measures.bootstrap import Estimate, bootstrap_mean, bootstrap_median, known, paired_difference
from r4t_ray.types import TASKS, Task

CHEAPER_SHARE = 0.8
"""A method is cheaper if it takes at most this share of the other's time. Smaller gaps are within the noise."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One method on one task.

    Attributes:
        task: The task.
        method: The method's name.
        values: Measure -> one number per query, float64 of shape (B,). NaN marks a query without a value, such as a
            theme that no collection holds.
        latency: latency_ms_b* -> milliseconds, one number per repeat; empty for a method that generates nothing.
        answer_ms: Wall time of a whole answer (generation, embedding, search, re-ranking), milliseconds per query.
        answers: The answer to every query, in the order of the values.
        tuned: The setting of the method that was tuned on validation queries; None if it has none.
        totals: Measure -> one number of all answers together, such as catalogue_share.
    """

    task: Task
    method: str
    values: dict[str, NDArray[np.float64]]
    latency: dict[str, NDArray[np.float64]]
    answer_ms: float
    answers: Sequence[Answer] = ()
    tuned: float | None = None
    totals: dict[str, float] = field(default_factory=dict)

    def mean(self, measure: str) -> float:
        """The mean of a measure over the queries that have a value; NaN if none has."""
        values = known(self.values[measure])
        return float(values.mean()) if len(values) else math.nan


def main_measure_of(results: Sequence[Result], task: Task, k: int, n: int) -> str:
    """The measure that a task's model is trained to raise, by the measures that the results have."""
    return main_measure(task, k, n, {name for result in results for name in result.values})


class MetricRow(TypedDict):
    """A row of metrics.json. ``low`` and ``high`` bound the bootstrap 95% interval; ``n`` counts queries or repeats.

    Only queries that have a value count. A measure without any value has no row. catalogue_share is one number of all
    answers and has no interval: ``low`` and ``high`` are equal to ``value``, and ``n`` counts the answers.
    """

    task: str
    method: str
    measure: str
    value: float
    low: float
    high: float
    n: int


def metric_rows(results: Sequence[Result], num_bootstrap: int, seed: int) -> list[MetricRow]:
    """Every measure of every result with its interval, sorted by task, then in the order of ``METHODS``."""
    rows, position = [], list(METHODS).index
    for result in sorted(results, key=lambda one: (TASKS.index(one.task), position(one.method))):
        for measure, values in result.values.items():
            if len(known(values)):
                rows.append(_row(result, measure, bootstrap_mean(values, num_bootstrap, seed)))
        num_queries = max((len(values) for values in result.values.values()), default=0)
        for measure, total in result.totals.items():
            rows.append(_row(result, measure, Estimate(value=total, low=total, high=total, n=num_queries)))
        for measure, repeats in result.latency.items():
            rows.append(_row(result, measure, bootstrap_median(repeats, num_bootstrap, seed)))
    return rows


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A method that scores lower than a cheaper one. ``difference`` is winner minus loser, paired by query."""

    task: Task
    measure: str
    loser: str
    winner: str
    difference: Estimate

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference.low > 0


def losses_to_cheaper(results: Sequence[Result], task: Task, measure: str, num_bootstrap: int, seed: int) -> list[Loss]:
    """Every method of the task that scores lower than a cheaper one of its format. ``winner`` is the best of those.

    A method is cheaper if its ``answer_ms`` is at most CHEAPER_SHARE of the other's.
    """
    rows = [result for result in results if result.task == task]
    losses = []
    for loser in rows:
        same = [row for row in rows if METHODS[row.method].format == METHODS[loser.method].format]
        cheaper = [row for row in same if row.answer_ms <= CHEAPER_SHARE * loser.answer_ms]
        best = max(cheaper, key=lambda row: row.mean(measure), default=None)
        if best is not None and best.mean(measure) > loser.mean(measure):
            difference = paired_difference(best.values[measure], loser.values[measure], num_bootstrap, seed)
            losses.append(
                Loss(task=task, measure=measure, loser=loser.method, winner=best.method, difference=difference)
            )
    return losses


def _row(result: Result, measure: str, estimate: Estimate) -> MetricRow:
    return MetricRow(
        task=result.task,
        method=result.method,
        measure=measure,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
    )
