"""The best of five sampled fan-outs by the held-out reference set: an upper bound that cannot be deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.best_of_5 import best_sample
from r4t_ray.evaluation.methods.zero_shot import WARM_START
from r4t_ray.evaluation.scores import coverage_scores
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """As best_of_5, except that the reference set of the held-out query selects the best fan-out.

    This is best-of-N by the true reward of WSCR (weakly supervised compositional retrieval): the recall of the
    reference set. It is an upper bound that sees the answer, so it cannot be deployed. It fans out as best_of_5 does,
    so its latency is not measured.
    """
    return best_sample(bench, queries, query_emb_BD, seed, judge=judge_reference)


def judge_reference(bench: Bench, answer: Answer, query: Query, query_emb_D: Array) -> float:
    """Recall of the query's reference set."""
    measure = bench.main_measure
    return coverage_scores(answer, query, bench.index.ids, bench.k * bench.n)[measure]


BEST_OF_5_ORACLE = Method(name="best_of_5_oracle", answer=answer, tasks=("wscr",), model=WARM_START)
