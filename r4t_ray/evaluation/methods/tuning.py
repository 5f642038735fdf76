"""The one setting of a method, tuned on validation queries. Not a method itself.

The measure is the main measure of the task. Where OAR queries (open-ended abstract retrieval) of a log have relevant
sets, it is their theme precision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.method_answer import Answer, batches
from r4t_ray.evaluation.scores import coverage_scores, score
from r4t_ray.measures import theme_precision
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

AnswersAt = Callable[[Bench, Array, float], list[Answer]]
"""(bench, query_emb_BD, value of the setting) -> one answer per query."""

QUERIES_A_CALL = 64

_logger = logging.getLogger(__name__)


def tuned(bench: Bench, method: str, grid: Sequence[float], answers_at: AnswersAt) -> float:
    """The value of ``grid`` whose answers to the validation queries have the highest mean main measure.

    The earlier of two equal values is kept. Without validation queries it is the middle value of the grid. The value
    is stored in ``bench.fits.tuned``, so only the first call tunes.

    Args:
        bench: The pool and the validation queries.
        method: Name of the method.
        grid: Values to try.
        answers_at: Answers queries with one value.
    """
    chosen = bench.fits.tuned
    if method not in chosen:
        if not bench.val_queries:
            chosen[method] = grid[len(grid) // 2]
            _logger.warning(
                "%s %s: no validation queries, so the setting is not tuned: %g", bench.task, method, chosen[method]
            )
        else:
            means = [validation_mean(bench, answers_at, value) for value in grid]
            chosen[method] = max(zip(means, grid, strict=True), key=lambda pair: pair[0])[1]
            tried = ", ".join(f"{value:g}: {mean:.4f}" for value, mean in zip(grid, means, strict=True))
            _logger.info("%s %s: %g is best on validation queries (%s)", bench.task, method, chosen[method], tried)
    return chosen[method]


def validation_mean(bench: Bench, answers_at: AnswersAt, value: float) -> float:
    """Mean of the measure over the answers to the validation queries with one value of the setting."""
    blocks = batches(len(bench.val_queries), QUERIES_A_CALL)
    answers = [answer for block in blocks for answer in answers_at(bench, bench.val_emb_BD[block], value)]
    measure, total = bench.main_measure, 0.0
    is_judged = bench.task == "oar" and any(query.item_ids for query in bench.val_queries)
    for answer, query, z_q_D in zip(answers, bench.val_queries, bench.val_emb_BD, strict=True):
        if bench.task == "wscr":  # recall alone, because the other measures take longer than most answers
            total += coverage_scores(answer, query, bench.index.ids, bench.k * bench.n)[measure]
        elif is_judged:
            total += judged(bench, answer, query)
        else:
            total += score(bench, answer, query, z_q_D)[measure]
    return total / len(answers)


def judged(bench: Bench, answer: Answer, query: Query) -> float:
    """theme_precision against the references of a validation query of OAR; 0 without one."""
    top_rows = answer.top_rows.tolist()
    relevant = {row for row in top_rows if bench.index.ids[row] in query.item_ids}
    return theme_precision(top_rows, relevant, bench.k) if relevant else 0.0
