"""The best of five fan-outs by the held-out reference: an upper bound, nothing to deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from r4t_ray.evaluation.answers import Answer, Query
from r4t_ray.evaluation.methods.best_of_5 import BestOf5
from r4t_ray.evaluation.scores import coverage_scores, main_measure
from r4t_ray.types import Array, Task


@dataclass(frozen=True)
class BestOf5Oracle(BestOf5):
    """As best_of_5, but judged by the held-out query's own reference.

    This is best-of-N by the wscr reward to the letter, and an upper bound that sees the answer. It is not timed: its
    generation is that of best_of_5.
    """

    name: ClassVar[str] = "best_of_5_oracle"
    tasks: ClassVar[tuple[Task, ...]] = ("wscr",)

    def _rewards(self, answers: Sequence[Answer], query: Query, query_emb_D: Array) -> list[float]:
        budget = self.k * self.n
        measure = main_measure(self.task, self.k, self.n)
        return [coverage_scores(answer, query, self.index.ids, budget)[measure] for answer in answers]
